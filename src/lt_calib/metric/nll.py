"""Negative log-likelihood (NLL)."""

import torch.nn.functional as F
from torch import Tensor

from lt_calib.measure.check import check_labeled
from lt_calib.measure.direction import better


@better("lower")
def negative_log_likelihood(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute -mean_i log softmax(z_i)_{y_i}, from logits so that no probability rounds to 0.

    Args:
        logits: (N, K) float.
        targets: (N,) int64.

    Shape:
        Returns () float32, nats.
    """
    check_labeled(logits, targets)
    return F.cross_entropy(logits.double(), targets).float()
