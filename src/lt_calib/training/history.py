"""A row an epoch: loss, learning rate, time, and the validation metrics where there is a validation part."""

import time
from collections.abc import Callable
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

Row = dict[str, Any]


class History(Callback):
    """Keeps one row for each finished epoch; reads the device once an epoch.

    Args:
        stage: 1 or 2.
        evaluate: ``(logits, targets) -> {metric: value}``, for the validation part.
        report: Called with each new row.

    Attributes:
        rows: ``{"stage", "epoch", "lr", "loss", "seconds", "images_per_second", "val_..."}``, epoch 1-based,
            ``loss`` the mean over the epoch's pictures. ``seconds`` are from the end of the epoch before, so that
            what is written between two epochs is in them, without those of validation.
    """

    def __init__(
        self,
        stage: int,
        evaluate: Callable[..., dict[str, float | None]],
        report: Callable[[Row], None],
    ) -> None:
        self.stage = stage
        self.evaluate = evaluate
        self.report = report
        self.rows: list[Row] = []
        self._start: float | None = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock at the first epoch; later ones' start with the end of the epoch before."""
        self._start = self._start or time.perf_counter()
        self._validation = 0.0
        self._images = 0
        self._loss = torch.zeros((), device=pl_module.device)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the rate that the epoch begins with."""
        if batch_idx == 0:
            self._lr = trainer.optimizers[-1].param_groups[-1]["lr"]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the batch's loss, without waiting for the device but at the last one."""
        n = outputs["images"]
        self._loss += outputs.get("shown", outputs["loss"]).detach() * n
        self._images += n
        if batch_idx + 1 == trainer.num_training_batches:
            self._mean_loss = float(self._loss) / self._images

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._validation -= time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the clock go on."""
        self._validation += time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Close the row; validation, where there is one, has run by now."""
        seconds = time.perf_counter() - (self._start or 0.0) - self._validation
        row: Row = {
            "stage": self.stage,
            "epoch": trainer.current_epoch + 1,
            "lr": self._lr,
            "loss": self._mean_loss,
            "seconds": round(seconds, 4),
            "images_per_second": round(self._images / seconds, 1),
        }
        if pl_module.predicted is not None:
            row |= {f"val_{name}": value for name, value in self.evaluate(*pl_module.predicted).items()}
            pl_module.predicted = None
        self._start = time.perf_counter()
        self.rows.append(row)
        self.report(row)

    @property
    def seconds(self) -> float:
        """Training time of all epochs."""
        return sum(row["seconds"] for row in self.rows)

    @property
    def images_per_second(self) -> float | None:
        """Training pictures a second over all epochs but the first, which warms up; None where nothing was trained."""
        rows = self.rows[1:] or self.rows
        seconds = sum(row["seconds"] for row in rows)
        images = sum(row["images_per_second"] * row["seconds"] for row in rows)
        return round(images / seconds, 1) if rows else None
