"""A stage that was killed goes on from its last finished epoch."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from lt_calib.files.checkpoint import SCHEMA, read_checkpoint, write_atomically
from lt_calib.training.history import History, Row

log = logging.getLogger(__name__)


class Resume(Callback):
    """Keeps weights, optimizer, schedule and history after every epoch in one file, and starts from it if it is there.

    Whatever else changes with the epoch is drawn from ``(seed, epoch, step)``, so that nothing more need be kept, and
    a resumed stage ends with the very weights of an undisturbed one.

    Args:
        path: Of the file; it is removed by whoever writes the stage's checkpoint.
        history: Its rows are kept too.
        made_by: What trains it here, such as torch's version.
        tell: Called with each row that was kept: the logger of this start may be another one.

    Attributes:
        made_by: Every one that has trained a part of it, the first one first.
    """

    def __init__(
        self, path: Path, history: History, made_by: dict[str, str], tell: Callable[[Row], None] = lambda row: None
    ) -> None:
        self.path = path
        self.history = history
        self.made_by = [made_by]
        self.tell = tell

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on from the file; of several processes the first reads it, so that all go on from the same."""
        try:
            kept: Any = None
            if trainer.is_global_zero and self.path.exists():
                kept = read_checkpoint(self.path)
            kept = trainer.strategy.broadcast(kept)
            if kept is None:
                return
            pl_module.load_state_dict(kept["module"])
            for optimizer, state in zip(trainer.optimizers, kept["optimizers"], strict=True):
                optimizer.load_state_dict(state)
            for config, state in zip(trainer.lr_scheduler_configs, kept["schedulers"], strict=True):
                config.scheduler.load_state_dict(state)
        except (RuntimeError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise ValueError(
                f"{self.path} cannot be resumed from: {error}. Remove it, and the stage starts from its first epoch"
            ) from error
        trainer.precision_plugin.load_state_dict(kept["precision"])
        here, before = self.made_by[-1], kept.get("made_by", [{}])  # empty: of a version that did not keep it
        if here != before[-1]:
            others = sorted(k for k in here if here[k] != before[-1].get(k))
            log.warning(
                "Stage %s began with another %s: it may end a little otherwise than undisturbed, and is not cached.",
                getattr(pl_module, "stage", "?"),
                ", ".join(others),
            )
        self.made_by = before + ([] if here in before else [here])
        self.history.rows[:] = kept["history"]
        progress: Any = trainer.fit_loop.epoch_progress.current
        progress.ready = progress.started = progress.processed = progress.completed = kept["epochs"]
        log.info("Resuming after epoch %d of %s, from %s.", kept["epochs"], trainer.max_epochs, self.path)
        for row in kept["history"]:
            self.tell(row)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the epoch; the history, an earlier callback, has closed its row."""
        if not trainer.is_global_zero:
            return
        content: dict[str, Any] = {
            "schema": SCHEMA,
            "epochs": trainer.current_epoch + 1,
            "module": pl_module.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
            "schedulers": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
            "precision": trainer.precision_plugin.state_dict(),
            "history": self.history.rows,
            "made_by": self.made_by,
        }
        write_atomically(self.path, lambda stream: torch.save(content, stream))
