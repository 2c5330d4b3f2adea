"""The progress bar, refreshed by time and not by step."""

import logging

from lightning import Callback, LightningModule, Trainer
from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

log = logging.getLogger(__name__)

LINES = 10  # printed by a stage where the output is not a terminal


class ProgressBar(Callback):
    """One bar a stage; where the output is a file, about ten lines a stage instead.

    Args:
        label: Shown before the bar.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.every = 1  # epochs between two lines
        self._bar: Progress | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar."""
        epochs = trainer.max_epochs or 1
        self.every = max(1, epochs // LINES)
        if not (get_console().is_terminal and trainer.is_global_zero):
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=get_console(),
            refresh_per_second=4,
        )
        steps = int(trainer.num_training_batches)
        done = trainer.current_epoch * steps  # more than 0 where a killed stage goes on
        self._task = self._bar.add_task(self.label, total=epochs * steps, completed=done)
        self._bar.start()

    def on_train_batch_end(self, trainer: Trainer, *args: object) -> None:
        """Count the step."""
        if self._bar:
            self._bar.advance(self._task)

    def epoch(self, row: dict) -> None:
        """Show a finished epoch's row of the history."""
        text = f"{self.label}  epoch {row['epoch']}  loss {row['loss']:.4f}  {row['images_per_second']:.0f} images/s"
        if self._bar:
            self._bar.update(self._task, description=text)
        printed = not self._bar and row["epoch"] % self.every == 0
        log.log(logging.INFO if printed else logging.DEBUG, text)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the full bar on the screen."""
        self.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the terminal back."""
        self.close()

    def close(self) -> None:
        """Stop the bar."""
        if self._bar:
            self._bar.stop()
            self._bar = None
