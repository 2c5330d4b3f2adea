"""Instance-balanced sampling."""

import torch
from torch import Tensor

from lt_calib.sampler.base import EpochSampler


class InstanceBalanced(EpochSampler):
    """Every picture once an epoch, in random order: class frequencies pi_c = n_c / N."""

    @property
    def prior(self) -> Tensor:
        """(K,) float64, n / N."""
        return self.class_counts.double() / len(self.targets)

    def indices(self, generator: torch.Generator) -> Tensor:
        """Draw a permutation of the N pictures."""
        return torch.randperm(len(self.targets), generator=generator)
