"""How often what is predicted as a class, or a group, is right, beside how sure the model was."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lt_calib.measure.bootstrap import binomial_interval
from lt_calib.metric.ece import confidence_and_correct


def by_predicted(probs: Tensor, targets: Tensor, groups: Mapping[str, list[int]]) -> dict[str, Any]:
    """Compare confidence and accuracy of the images that are predicted as each class, and as one of each group's.

    Of a calibrated model they are the same here, up to chance: which images these are is known before the truth is.
    By *true* class they are not (:func:`lt_calib.measure.evaluate.evaluate`).

    Args:
        probs: (N, K) float, rows sum to 1. Logits are refused.
        targets: (N,) int64.
        groups: Classes of each group.

    Returns:
        ``{"groups": {name: row}, "classes": [row, ...]}``, K of the latter, a row ``{"count", "confidence", "acc",
        "low", "high"}``: mean confidence and accuracy, fractions, and the accuracy's 95 % interval (Clopper and
        Pearson); None where nothing is predicted as such.
    """
    confidence, correct = confidence_and_correct(probs, targets)
    predicted = probs.argmax(dim=1)

    def row(rows: Tensor) -> dict[str, Any]:
        n, hits = int(rows.sum()), int(correct[rows].sum())
        if not n:
            return {"count": 0, "confidence": None, "acc": None, "low": None, "high": None}
        low, high = binomial_interval(hits, n)
        sure = float(confidence[rows].double().mean())
        return {"count": n, "confidence": sure, "acc": hits / n, "low": low, "high": high}

    of_groups = {name: row(torch.isin(predicted, torch.tensor(of))) for name, of in groups.items() if of}
    return {"groups": of_groups, "classes": [row(predicted == c) for c in range(probs.shape[1])]}
