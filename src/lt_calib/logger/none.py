"""No service: the run's own folder holds everything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class NoLogger:
    """Does nothing. Every logger has these four methods.

    Args:
        config: The run's composed settings.
        folder: The run's folder.
        group: The experiment's name.
        tags: Data set, imbalance factor and augmentation.
    """

    def __init__(self, *, config: Mapping[str, Any], folder: Path, group: str, tags: list[str]) -> None: ...

    def log_epoch(self, row: Mapping[str, Any]) -> None:
        """Take a row of the history."""

    def log_results(self, results: Mapping[str, Any], figures: list[Path], checkpoints: Mapping[str, Path]) -> None:
        """Take the results of all stages, the paths of the figures, and each stage's checkpoint."""

    def finish(self, exit_code: int) -> None:
        """Close; 0 means that the job succeeded."""
