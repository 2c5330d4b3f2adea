"""Negative log-likelihood over classes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_calib.measure.check import check_labeled
from lt_calib.measure.direction import better


@better("lower")
def balanced_nll(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean over the classes that have an image of -mean_{i: y_i = c} log softmax(z_i)_c.

    On a balanced test set this is the NLL.

    Args:
        logits: (N, K) float.
        targets: (N,) int64.

    Shape:
        Returns () float32, nats.
    """
    check_labeled(logits, targets)
    each = F.cross_entropy(logits.double(), targets, reduction="none")
    count = torch.bincount(targets, minlength=logits.shape[1])
    return (each / count[targets]).sum().div((count > 0).sum()).float()
