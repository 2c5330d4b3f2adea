"""Count, accuracy, confidence and calibration of each class."""

import torch
from torch import Tensor

from lt_calib.measure.binning import N_BINS
from lt_calib.metric.ece import bin_index, confidence_and_correct, sums_by_index


def per_class(probs: Tensor, targets: Tensor, n_bins: int = N_BINS) -> dict[str, list[float | None]]:
    """Compute for the pictures of each true class: how many, accuracy, mean confidence, over-confidence, ECE.

    Of a calibrated model the last two are not 0 here, see :func:`lt_calib.measure.evaluate.evaluate`.

    Args:
        probs: (N, K) float, rows sum to 1. Logits are refused.
        targets: (N,) int64.
        n_bins: >= 1, equal widths.

    Returns:
        ``{"count", "acc", "confidence", "overconf", "ece"}``, K values each, fractions; None for a class without a
        picture.
    """
    confidence, correct = confidence_and_correct(probs, targets)
    index = bin_index(confidence, n_bins)
    table: dict[str, list[float | None]] = {name: [] for name in ("count", "acc", "confidence", "overconf", "ece")}
    for c in range(probs.shape[1]):
        rows = torch.nonzero(targets == c)[:, 0]
        n = len(rows)
        acc = float(correct[rows].double().mean()) if n else None
        sure = float(confidence[rows].double().mean()) if n else None
        table["count"].append(n)
        table["acc"].append(acc)
        table["confidence"].append(sure)
        table["overconf"].append(None if acc is None or sure is None else sure - acc)
        bins = sums_by_index(index[rows], confidence[rows], correct[rows], n_bins)
        table["ece"].append(float(bins.error.float()) if n else None)
    return table
