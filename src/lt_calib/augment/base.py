"""What an augmentation is."""

from typing import Protocol

import torch
from torch import Tensor

Batch = tuple[Tensor, Tensor]  # images (B, C, H, W) float, targets (B, K) float


class Augmentation(Protocol):
    """Any augmentation: a function, or an object that may have ``set_epoch(epoch)``; it leaves its input alone.

    What moves the labels' frequencies by rule has ``moves_labels = True``, so that no fixed prior is corrected for.
    """

    def __call__(
        self, images: Tensor, targets: Tensor, generator: torch.Generator, partner: Batch | None = None
    ) -> Batch:
        """Augment a batch, with draws from the generator; ``partner`` is a batch of a second sampler's."""
        ...
