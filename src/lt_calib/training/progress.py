"""What a stage says while it trains: one line, refreshed by time and not by step."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from lightning import Callback, LightningModule, Trainer
from rich import get_console
from rich.live import Live
from rich.text import Text

from lt_calib import terminal

log = logging.getLogger(__name__)

EVERY = 10.0  # seconds between two lines where the output is not a terminal


class ProgressLine(Callback):
    """One line a stage on a terminal; elsewhere its first and last epoch's, and between them one every ten seconds.

    Args:
        stage: 1 or 2.
    """

    def __init__(self, stage: int) -> None:
        self.stage = stage
        self._row: Mapping[str, Any] = {}
        self._said: float | None = None
        self._live: Live | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the line."""
        self._epochs, self._steps = trainer.max_epochs or 1, int(trainer.num_training_batches)
        self._done = self._before = trainer.current_epoch * self._steps  # more than 0 where a killed stage goes on
        self._start = time.monotonic()
        if terminal.is_there() and trainer.is_global_zero:
            self._live = Live(get_renderable=self._text, console=get_console(), refresh_per_second=4)
            self._live.start()

    def on_train_batch_end(self, trainer: Trainer, *args: object) -> None:
        """Count the step."""
        self._done += 1

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Show a finished epoch's row of the history."""
        self._row, now = row, time.monotonic()
        due = self._said is None or now - self._said >= EVERY or row["epoch"] == self._epochs
        if due:
            self._said = now
        at = logging.INFO if due and not self._live else logging.DEBUG
        log.log(at, line(self.stage, row["epoch"], self._epochs, row, self._left(now)))

    def _left(self, now: float) -> float | None:
        done = self._done - self._before
        return (now - self._start) / done * (self._epochs * self._steps - self._done) if done else None

    def _text(self) -> Text:
        epoch = min(self._done // self._steps + 1, self._epochs)
        said = line(self.stage, epoch, self._epochs, self._row, self._left(time.monotonic()))
        return Text(said, no_wrap=True, overflow="ellipsis")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the last line on the screen."""
        self.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the terminal back."""
        self.close()

    def close(self) -> None:
        """Stop refreshing the line."""
        if self._live:
            self._live.stop()
            self._live = None


def line(stage: int, epoch: int, epochs: int, row: Mapping[str, Any], seconds: float | None) -> str:
    """Say how far a stage is, in less than 80 columns.

    Args:
        stage: 1 or 2.
        epoch: In which it is, 1-based.
        epochs: Of the stage.
        row: Of the history, the last finished epoch's; empty before there is one.
        seconds: That are left; None where it is not known yet.
    """
    parts = [f"stage {stage}", f"epoch {epoch}/{epochs}"]
    if row:
        parts += [f"loss {row['loss']:.3g}", f"{row['images_per_second']:.0f} img/s"]
    if row and row["epoch"] == epochs:
        parts.append("done")
    elif seconds is not None:
        minutes, rest = divmod(round(seconds), 60)
        parts.append(f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} left")
    return "  ".join(parts)
