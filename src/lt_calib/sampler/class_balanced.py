"""Class-balanced sampling."""

import torch
from torch import Tensor

from lt_calib.sampler.class_weighted import ClassWeighted


class ClassBalanced(ClassWeighted):
    """A class uniformly, then one of its pictures uniformly: pi_c = 1 / K; N draws with replacement.

    The code of the two-stage methods draws classes and images in turn, without replacement:
    :class:`lt_calib.sampler.class_aware.ClassAware`.

    Example:
        >>> sampler = ClassBalanced(torch.tensor([0] * 900 + [1] * 100), num_classes=2, seed=0)
        >>> sampler.prior.tolist()
        [0.5, 0.5]
        >>> rare = sum(index >= 900 for index in sampler)
        >>> 400 < rare < 600
        True

    Reference:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, section 3.
    """

    def class_weights(self, counts: Tensor) -> Tensor:
        """Compute f = 1."""
        return torch.ones_like(counts)
