"""What samplers share that draw a class by its weight, then one of its pictures uniformly."""

import torch
from torch import Tensor

from lt_calib.sampler.base import EpochSampler


class ClassWeighted(EpochSampler):
    """N draws with replacement, class c with probability f(n_c) / sum f; a class without a picture is never drawn.

    A subclass defines :meth:`class_weights`.
    """

    def class_weights(self, counts: Tensor) -> Tensor:
        """Compute f(n_c), (K,) float64, from the counts (K,) float64; what it is at 0 does not matter."""
        raise NotImplementedError

    @property
    def prior(self) -> Tensor:
        """(K,) float64, f(n_c) / sum f over the classes that have a picture."""
        counts = self.class_counts.double()
        weights = torch.where(counts > 0, self.class_weights(counts.clamp(min=1)), 0.0)
        return weights / weights.sum()

    def indices(self, generator: torch.Generator) -> Tensor:
        """Draw N pictures, each with its class's probability over n_c."""
        weights = (self.prior / self.class_counts.clamp(min=1))[self.targets]
        return torch.multinomial(weights, len(self.targets), replacement=True, generator=generator)
