"""Balanced accuracy."""

import torch
from torch import Tensor

from lt_calib.measure.check import check_probs
from lt_calib.measure.direction import better


@better("higher")
def balanced_accuracy(probs: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean over the classes that have a picture of the accuracy within the class.

    On a balanced test set this is the accuracy.

    Args:
        probs: (N, K) float, rows sum to 1.
        targets: (N,) int64.

    Shape:
        Returns () float32, a fraction.
    """
    probs = check_probs(probs, targets)
    k = probs.shape[1]
    count = torch.bincount(targets, minlength=k)
    correct = torch.bincount(targets[probs.argmax(dim=1) == targets], minlength=k)
    present = count > 0
    return (correct[present].double() / count[present]).mean().float()
