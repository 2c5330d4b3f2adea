"""Expected calibration error over classes."""

import torch
from torch import Tensor

from lt_calib.measure.binning import on_ece_bins
from lt_calib.measure.direction import better
from lt_calib.metric.ece import bin_index, confidence_and_correct


@better("lower")
@on_ece_bins
def balanced_ece(probs: Tensor, targets: Tensor, n_bins: int = 15) -> Tensor:
    """Compute sum_b |sum_{i in b} w_i (correct_i - conf_i)| with w_i = 1 / (K' n_{y_i}), K' the classes with an image.

    Every class weighs alike, as if the test set were balanced; on a balanced one this is the ECE.

    Args:
        probs: (N, K) float, rows sum to 1; taken as float32. Logits are refused.
        targets: (N,) int64.
        n_bins: >= 1, equal widths (lo, hi].

    Shape:
        Returns () float32, a fraction.

    Raises:
        ValueError: logits, NaN, or n_bins < 1.
    """
    confidence, correct = confidence_and_correct(probs, targets)
    count = torch.bincount(targets, minlength=probs.shape[1])
    gap = (correct.double() - confidence.double()) / (count[targets] * (count > 0).sum())
    zero = torch.zeros(n_bins, dtype=torch.float64, device=gap.device)
    return zero.index_add(0, bin_index(confidence, n_bins), gap).abs().sum().float()
