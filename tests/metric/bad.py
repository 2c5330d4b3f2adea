"""What no metric and no calibrator may take, for five classes: name -> predictions, labels, what the error says."""

import torch

GOOD = torch.full((4, 5), 0.2), torch.tensor([0, 4, 1, 0])


def _with(value: float) -> torch.Tensor:
    probs = GOOD[0].clone()
    probs[1, 1] = value
    return probs


BAD_LOGITS = {
    "one dimension": (GOOD[0][:, 0], r"must be \(N, "),
    "three dimensions": (GOOD[0][:, :, None], r"must be \(N, "),
    "no class": (GOOD[0][:, :0], r"must be \(N, "),
    "whole numbers": (torch.ones(4, 5, dtype=torch.int64), "floating point"),
    "NaN": (_with(float("nan")), "NaN"),
    "infinity": (_with(float("inf")), "finite"),
    "minus infinity": (_with(float("-inf")), "finite"),
    "a list": (GOOD[0].tolist(), "torch.Tensor"),
}
BAD_TARGETS = {
    "a column": (GOOD[1][:, None], r"\(N,\)"),
    "a row": (GOOD[1][None], r"\(N,\)"),
    "one number": (GOOD[1][0], r"\(N,\)"),
    "too few": (GOOD[1][:1], r"\(N,\)"),
    "one-hot": (torch.eye(5, dtype=torch.int64)[GOOD[1]], r"\(N,\)"),
    "floats": (GOOD[1].float(), "int64"),
    "truth values": (GOOD[1] > 0, "int64"),
    "32 bits": (GOOD[1].int(), "int64"),
    "K": (torch.tensor([0, 5, 1, 0]), r"labels 0 .. 4; got 0 .. 5"),
    "below 0": (torch.tensor([0, -1, 1, 0]), r"labels 0 .. 4; got -1 .. 1"),
    "a list": (GOOD[1].tolist(), "torch.Tensor"),
}
BAD_PAIRS = {
    **{f"predictions: {name}": (bad, GOOD[1], said) for name, (bad, said) in BAD_LOGITS.items()},
    **{f"targets: {name}": (GOOD[0], bad, said) for name, (bad, said) in BAD_TARGETS.items()},
    "no image": (GOOD[0][:0], GOOD[1][:0], "N >= 1"),
}
