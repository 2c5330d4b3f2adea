"""The noise floor of the ECE: what a perfectly calibrated model would score on as many pictures."""

from typing import NamedTuple

import torch
from torch import Tensor

from lt_calib.measure.binning import on_ece_bins
from lt_calib.metric.ece import bin_index, confidence_and_correct
from lt_calib.seed import generator

CHUNK = 100  # draws at a time: 8 MB for 10 000 pictures


class Floor(NamedTuple):
    """Of the ECE of a calibrated model with the same confidences, () float32 each, fractions."""

    mean: Tensor
    q95: Tensor


@on_ece_bins
def calibration_error_floor(probs: Tensor, targets: Tensor, n_bins: int = 15, draws: int = 1000) -> Floor:
    """Compute mean and 95 % quantile of the ECE when every label is drawn from the model's own probabilities.

    A prediction of confidence c is then right with probability c: the model is calibrated, and what its ECE still is
    comes from the number of pictures alone. An ECE below the quantile does not tell the model from a calibrated one.

    Args:
        probs: (N, K) float, rows sum to 1; taken as float32. Logits are refused.
        targets: (N,) int64; their values do not matter.
        n_bins: >= 1, equal widths.
        draws: >= 1, of all labels; from a generator of its own, so that the same predictions have the same floor.

    Shape:
        Returns two numbers () float32, fractions in [0, 1].

    Example:
        >>> probs = torch.tensor([[0.9, 0.1]]).expand(100, 2)
        >>> floor = calibration_error_floor(probs, torch.zeros(100, dtype=torch.int64))
        >>> bool(0 < floor.mean < floor.q95 < 0.1)
        True

    Raises:
        ValueError: draws is below 1.
    """
    if draws < 1:
        raise ValueError(f"draws {draws} must be >= 1")
    confidence = confidence_and_correct(probs, targets)[0].sort().values.cpu()
    bins, size = bin_index(confidence, n_bins).unique_consecutive(return_counts=True)
    ends = size.cumsum(0)
    assert len(bins) <= n_bins  # sorted: every bin is one stretch
    total = confidence.double().cumsum(0)[ends - 1].diff(prepend=torch.zeros(1, dtype=torch.float64))
    random = generator(0, "ece_floor")
    errors = []
    for start in range(0, draws, CHUNK):
        uniform = torch.rand(min(CHUNK, draws - start), len(confidence), generator=random)
        right = (uniform < confidence).to(torch.int32).cumsum(1)[:, ends - 1]  # (draws, bins)
        right = right.diff(dim=1, prepend=torch.zeros(len(right), 1, dtype=right.dtype))
        errors.append((right - total).abs().sum(1) / len(confidence))
    every = torch.cat(errors)
    return Floor(every.mean().float(), every.quantile(0.95).float())
