"""One pass over a split of the data, without training."""

from typing import Any

from lightning import Trainer
from torch import Tensor, nn

from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.stage.base import StageModule
from lt_calib.stage.representation import RepresentationModule


def predictions_of(trainer: Trainer, module: StageModule, data: LongTailedDataModule, split: str) -> Any:
    """Compute logits (N, K) float32 and targets (N,) int64 of one split, in order and without augmentation."""
    data.trainer = trainer  # so that the loader's tensors lie on the trainer's device
    trainer.test(module, dataloaders=data.eval_loader(split), verbose=False)
    predicted, module.predicted = module.predicted, None
    return predicted


def features_of(trainer: Trainer, backbone: nn.Module, data: LongTailedDataModule, split: str) -> tuple[Tensor, Tensor]:
    """Compute the backbone's features (N, D) float32 and targets (N,) int64 of one split, likewise."""
    module = RepresentationModule(
        backbone, nn.Identity(), nn.Identity(), max_epochs=0, lr=0.0, weight_decay=0.0, schedule=lambda *epochs: 1.0
    )
    return predictions_of(trainer, module, data, split)
