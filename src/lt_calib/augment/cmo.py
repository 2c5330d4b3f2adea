"""CMO: context-rich minority oversampling."""

import torch
from torch import Tensor

from lt_calib.augment.cutmix import CutMix

Batch = tuple[Tensor, Tensor]


class CMO(CutMix):
    """CutMix whose background is the ordinary batch and whose patch comes from a partner sampler of uniform classes.

    Args:
        max_epochs: E >= 0.
        first: Epochs at the start without it, as a fraction of E (4 of 200 in the first epochs).
        last: Epochs at the end without it, as a fraction of E (3 of 200).
        alpha: Of the Beta distribution, >= 0.
        prob: Probability of mixing, for each draw, in [0, 1].
        per: ``"batch"`` draws once a batch, as the authors do; ``"picture"`` for each picture.

    Shape:
        images (B, 3, H, W) float, targets (B, K) float; returns the same.

    Raises:
        ValueError: the fractions are below 0, or sum to more than 1.

    Reference:
        Park et al., "The Majority Can Help the Minority: Context-rich Minority Oversampling for Long-tailed
        Classification", CVPR 2022, algorithm 1.
    """

    def __init__(
        self,
        max_epochs: int,
        *,
        first: float = 0.02,
        last: float = 0.015,
        alpha: float = 1.0,
        prob: float = 0.5,
        per: str = "batch",
    ) -> None:
        super().__init__(alpha, prob, per)
        if not (first >= 0 and last >= 0 and first + last <= 1):
            raise ValueError(
                f"first {first} and last {last} must be >= 0, fractions of the epochs, and sum to at most 1"
            )
        self.start = round(first * max_epochs)
        self.end = max_epochs - round(last * max_epochs)
        self.on = True

    def set_epoch(self, epoch: int) -> None:
        """Switch it on or off for an epoch, 0-based."""
        self.on = self.start <= epoch < self.end

    def __call__(
        self, images: Tensor, targets: Tensor, generator: torch.Generator, partner: Batch | None = None
    ) -> Batch:
        """Mix the batch."""
        return super().__call__(images, targets, generator, partner) if self.on else (images, targets)
