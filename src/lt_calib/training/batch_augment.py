"""The only glue between an augmentation and Lightning."""

from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from lt_calib.augment.base import Augmentation
from lt_calib.seed import generator


class BatchAugment(Callback):
    """Augments each training batch in place, with one-hot targets, from ``(seed, stage, epoch, step, rank)``.

    Args:
        augment: ``(images, targets, generator, partner) -> (images, targets)``, a function too; without the last
            parameter where it mixes nothing in.
        num_classes: K.
        seed: The job's seed.
        stage: 1 or 2.
    """

    def __init__(self, augment: Augmentation, *, num_classes: int, seed: int, stage: int = 1) -> None:
        self.augment = augment
        self.num_classes = num_classes
        self.seed = seed
        self.stage = stage
        self._mixes = "partner" in signature(augment).parameters

    def set_epoch(self, epoch: int) -> None:
        """Tell the epoch, 0-based, to an augmentation that changes with it."""
        if hasattr(self.augment, "set_epoch"):
            self.augment.set_epoch(epoch)  # type: ignore[attr-defined]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Replace the batch by its augmented images and targets."""
        draws = generator(
            self.seed,
            "augment",
            stage=self.stage,
            epoch=trainer.current_epoch,
            step=batch_idx,
            rank=trainer.global_rank,
            device=batch[0].device,
        )
        self.apply(batch, draws)

    def apply(self, batch: list[Tensor], draws: torch.Generator) -> None:
        """Replace ``[images, targets]``, or those and a partner's, by the augmented images and targets."""
        images, targets, *partner = batch
        other = (partner[0], self._one_hot(partner[1], images)) if partner else None
        given = (other,) if self._mixes else ()
        batch[:] = self.augment(images, self._one_hot(targets, images), draws, *given)

    def _one_hot(self, targets: Tensor, images: Tensor) -> Tensor:
        return F.one_hot(targets, self.num_classes).to(images.dtype)
