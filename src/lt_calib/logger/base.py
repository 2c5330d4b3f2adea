"""What a logger is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Logger(Protocol):
    """Takes a run's rows and results; built with ``config``, ``folder``, ``group`` and ``tags``.

    It may count on this: each epoch's row comes once, whatever was killed and started again, and :meth:`finish` comes
    last, after results.json has been written.
    """

    def log_epoch(self, row: Mapping[str, Any]) -> bool | None:
        """Take a row of the history; False where it was not taken: it comes again when the run is started again."""
        ...

    def log_results(self, results: Mapping[str, Any], figures: list[Path], checkpoints: Mapping[str, Path]) -> None:
        """Take the results of all stages, the paths of the figures, and each stage's checkpoint."""
        ...

    def finish(self, exit_code: int) -> None:
        """Close; 0 means that the job succeeded."""
        ...
