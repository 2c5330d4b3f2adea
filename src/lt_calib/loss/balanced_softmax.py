"""Balanced Softmax."""

import torch

from lt_calib.loss.base import Counts, frequencies
from lt_calib.loss.smoothing import SmoothedCrossEntropy


class BalancedSoftmax(SmoothedCrossEntropy):
    """Balanced Softmax: train on p = softmax(z + log pi), l(z, y) = -log p_y; test on softmax(z).

    Args:
        class_counts: (K,) training pictures a class, > 0.
        prior: pi (K,), the class frequencies of the batches that are really drawn; None means n / N. Under a uniform
            one this is cross-entropy.

    Shape:
        logits (B, K) float, targets (B,) int64 or (B, K) float; returns () float32.

    Reference:
        Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition", NeurIPS 2020, equation 3.

    Example:
        Logits that say nothing are taken for the class frequencies in training:

        >>> loss = BalancedSoftmax([90, 10])
        >>> round(loss(torch.zeros(1, 2), torch.tensor([1])).exp().item(), 3)
        10.0
    """

    corrects = True

    def __init__(self, class_counts: Counts, *, prior: Counts | None = None) -> None:
        pi = frequencies(class_counts, prior)
        zero = torch.zeros_like(pi)
        super().__init__(d=zero + 1, r=zero, v=zero, log_prior=pi.log())
