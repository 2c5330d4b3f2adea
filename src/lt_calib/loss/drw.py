"""Deferred re-weighting (DRW)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lt_calib.loss.base import ClassLoss, Counts
from lt_calib.loss.weights import class_balanced_weights, weighable


class DRW(nn.Module):
    """A loss that is plain until a fraction of the epochs, then has class-balanced weights.

    Args:
        class_counts: (K,) training pictures a class, > 0.
        loss: ``(class_counts, *, prior) -> ClassLoss``, the loss to weigh: LDAM, cross-entropy, ...
        max_epochs: E.
        start: Fraction of E from whose epoch on the weights hold, in [0, 1] (160 of 200).
        beta: Of the class-balanced weights, in [0, 1).
        normalizer: What the weighted sum is divided by: ``"weights"``, those of the batch, as the authors' code does;
            or ``"batch"``, its size, as imbalanced-DL does for mixup-DRW and Remix-DRW.
        prior: Given on to ``loss``.

    Attributes:
        phases: How many epochs the weights hold: 0 where E is so small that the fraction is reached in none.

    Shape:
        logits (B, K) float, targets (B,) int64 or (B, K) float; returns () float32.

    Raises:
        ValueError: start, beta or normalizer is out of its range, or the loss sets its class weights itself.

    Reference:
        Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019, algorithm 1.
    """

    corrects = True
    deferred: Tensor

    def __init__(
        self,
        class_counts: Counts,
        *,
        loss: Callable[..., ClassLoss],
        max_epochs: int,
        start: float = 0.8,
        beta: float = 0.9999,
        normalizer: str = "weights",
        prior: Counts | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= start <= 1:
            raise ValueError(f"start {start} must be in [0, 1], a fraction of the epochs")
        self.loss = weighable(loss(class_counts, prior=prior))
        self.normalizer = normalizer
        self.first = round(start * max_epochs, 6)
        self.phases = {"re-weighting": max_epochs - math.ceil(self.first)}
        self.register_buffer("deferred", class_balanced_weights(class_counts, beta).float())
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Set the weights of an epoch, 0-based."""
        weights = self.deferred if epoch >= self.first else torch.ones_like(self.deferred)
        self.loss.weigh(weights, self.normalizer)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the batch's weighted mean."""
        return self.loss(logits, targets)
