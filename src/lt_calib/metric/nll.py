"""Negative log-likelihood (NLL)."""

import torch.nn.functional as F
from torch import Tensor

from lt_calib.measure.check import check_labeled
from lt_calib.measure.direction import better
from lt_calib.measure.pieces import by_rows


@better("lower")
def negative_log_likelihood(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute -mean_i log softmax(z_i)_{y_i}, from logits so that no probability rounds to 0.

    Args:
        logits: (N, K) float.
        targets: (N,) int64.

    Shape:
        Returns () float32, nats.

    Example:
        >>> logits = torch.tensor([[0.5, 0.5], [0.2, 0.8]]).log()
        >>> round(negative_log_likelihood(logits, torch.tensor([0, 1])).exp().item(), 3)  # 1 / sqrt(0.5 0.8)
        1.581
    """
    check_labeled(logits, targets)
    return nll_of_each(logits, targets).mean().float()


def nll_of_each(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute -log softmax(z_i)_{y_i} of each image, (N, K) float -> (N,) float64."""
    return by_rows(lambda z, y: F.cross_entropy(z.double(), y, reduction="none"), logits, targets)
