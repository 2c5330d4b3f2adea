"""A training over several processes ends at once at SIGTERM."""

import signal
from typing import Any

from lightning import Callback, LightningModule, Trainer


class ExitAtSigterm(Callback):
    """Leaves by ``SystemExit`` at SIGTERM, instead of Lightning's agreement between processes, which can wait for ever.

    Nothing need be agreed on: every finished epoch is kept.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signal over from Lightning, which has set its own by now, and gives all back when the fit ends."""
        if trainer.world_size > 1:
            signal.signal(signal.SIGTERM, self._end)

    def _end(self, signum: int, frame: Any) -> None:
        raise SystemExit(128 + signum)
