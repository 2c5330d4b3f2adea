"""Brier score."""

import torch.nn.functional as F
from torch import Tensor

from lt_calib.measure.check import check_probs
from lt_calib.measure.direction import better
from lt_calib.measure.pieces import by_rows


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
    return squared_errors(probs, targets).mean().float()


def squared_errors(probs: Tensor, targets: Tensor) -> Tensor:
    """Compute sum_c (p_ic - [y_i = c])^2 of each image, (N, K) float -> (N,) float64."""
    return by_rows(_scores, check_probs(probs, targets), targets)


def _scores(probs: Tensor, targets: Tensor) -> Tensor:
    return (probs.double() - F.one_hot(targets, probs.shape[1])).square().sum(dim=1)
