"""Brier score."""

import torch.nn.functional as F
from torch import Tensor

from lt_calib.measure.check import check_probs
from lt_calib.measure.direction import better


@better("lower")
def brier_score(probs: Tensor, targets: Tensor) -> Tensor:
    """Compute mean_i sum_c (p_ic - [y_i = c])^2, summed over the classes: 0 to 2.

    Args:
        probs: (N, K) float, rows sum to 1. Logits are refused.
        targets: (N,) int64.

    Shape:
        Returns () float32.

    Reference:
        Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950, equation 2.
    """
    probs = check_probs(probs, targets)
    labels = F.one_hot(targets, probs.shape[1])
    return (probs.double() - labels).square().sum(dim=1).mean().float()
