"""What every sampler has: labels, a seed, an epoch, and the class frequencies that it draws."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler

from lt_calib.seed import generator


class EpochSampler(Sampler[int]):
    """One epoch's global indices, N of them, from ``(seed, stage, epoch)``.

    A sampler defines :meth:`indices` and :attr:`prior`.

    Args:
        targets: (N,) int64 labels of the training pictures.
        num_classes: K.
        seed: The job's seed, >= 0.
        stage: 1 or 2, so that the stages draw differently.
        purpose: What is drawn; another purpose draws independently.
    """

    def __init__(
        self, targets: Tensor, *, num_classes: int, seed: int, stage: int = 1, purpose: str = "sampler"
    ) -> None:
        self.targets = targets
        self.num_classes = num_classes
        self.seed = seed
        self.stage = stage
        self.purpose = purpose
        self.epoch = 0

    @property
    def class_counts(self) -> Tensor:
        """(K,) int64, pictures a class."""
        return torch.bincount(self.targets, minlength=self.num_classes)

    @property
    def prior(self) -> Tensor:
        """(K,) float64, the class frequencies of what is drawn."""
        raise NotImplementedError

    def indices(self, generator: torch.Generator) -> Tensor:
        """Draw one epoch's (N,) int64 indices."""
        raise NotImplementedError

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, 0-based."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.targets)

    def __iter__(self) -> Iterator[int]:
        drawn = self.indices(generator(self.seed, self.purpose, stage=self.stage, epoch=self.epoch))
        return iter(drawn.tolist())
