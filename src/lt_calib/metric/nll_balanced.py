"""Negative log-likelihood over classes."""

import torch
from torch import Tensor

from lt_calib.measure.check import check_labeled
from lt_calib.measure.direction import better
from lt_calib.metric.nll import nll_of_each


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
    each = nll_of_each(logits, targets)
    count = torch.bincount(targets, minlength=logits.shape[1])
    return (each / count[targets]).sum().div((count > 0).sum()).float()
