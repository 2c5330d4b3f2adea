"""Adaptive calibration error (ACE): the ECE on bins of equal mass."""

import torch
from torch import Tensor

from lt_calib.measure.direction import better
from lt_calib.metric.ece import Bins, confidence_and_correct, sums_by_index


@better("lower")
def adaptive_calibration_error(probs: Tensor, targets: Tensor, n_bins: int = 15) -> Tensor:
    """Compute sum_b (n_b / N) |acc_b - conf_b| on n_bins bins that hold equally many pictures.

    Sorted by confidence, the picture of rank i, 0-based, falls into bin floor(i n_bins / N). Pictures of one confidence
    stay together, in the bin of the first of them, so that the order of the pictures does not matter.

    Args:
        probs: (N, K) float, rows sum to 1; taken as float32. Logits are refused.
        targets: (N,) int64.
        n_bins: >= 1.

    Shape:
        Returns () float32, a fraction.

    Reference:
        Nixon et al., "Measuring Calibration in Deep Learning", 2019, section 3.3, on the confidence of the prediction.
    """
    return equal_mass_bins(probs, targets, n_bins).error.float()


def equal_mass_bins(probs: Tensor, targets: Tensor, n_bins: int = 15) -> Bins:
    """Sum the pictures of each bin of equal mass.

    Raises:
        ValueError: n_bins is below 1.
    """
    if n_bins < 1:
        raise ValueError(f"n_bins {n_bins} must be >= 1")
    confidence, correct = confidence_and_correct(probs, targets)
    ordered = confidence.sort().values
    rank = torch.searchsorted(ordered, confidence)  # of the first picture of that confidence
    return sums_by_index(rank * n_bins // len(confidence), confidence, correct, n_bins)
