"""The jobs of one multirun: their names in what they say side by side, and one table of all at the end."""

import atexit
import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple
from uuid import uuid4

import rich
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from lt_calib.settings.objective import is_search
from lt_calib.training.processes import rank

COLUMNS = {"acc": "acc", "ece": "ECE", "nll": "NLL", "acc_tail": "tail"}
WIDTH = 8  # of each
LABEL = 43  # characters of a job's settings in a line


class Row(NamedTuple):
    """One job that has ended: its number, the words of its command, and its folder."""

    number: int
    overrides: list[str]
    folder: str


class Jobs(Callback):
    """Hydra's callback that names the jobs which run side by side, and prints a table of all when they have ended.

    A launcher's processes have copies of it; what they have run they write into one file.

    Args:
        name: What a job's lines begin with; none: a multirun's number and the experiment's name, where it is needed.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.file: Path | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Begin the list; a search has its own end, which no test set is to be part of."""
        if rank() == 0 and not is_search(config.hydra):
            self.file = Path(config.hydra.sweep.dir).absolute() / f".jobs_{uuid4().hex}"
            atexit.register(self.show)  # Hydra does not call on_multirun_end where a job has failed

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Let a job's lines begin with its name where others are at work on the same screen."""
        hydra = config.hydra
        beside = hydra.mode is RunMode.MULTIRUN and not hydra.launcher["_target_"].endswith("BasicLauncher")
        name = self.name or (f"#{hydra.job.num} {config.name}" if beside else "")
        if name:
            rich.reconfigure(force_terminal=False)  # several lines cannot be refreshed in one place
            for handler in logging.getLogger("lt_calib").handlers:
                handler.setFormatter(logging.Formatter(f"{name.replace('%', '%%')}  %(message)s"))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Note the job."""
        if self.file:
            logs = [h.baseFilename for h in logging.getLogger().handlers if isinstance(h, logging.FileHandler)]
            folder = str(Path(logs[0]).parent) if logs else config.hydra.runtime.output_dir  # resume=off has moved both
            row = Row(int(config.hydra.job.num), list(job_return.overrides or []), folder)
            with self.file.open("a") as stream:
                stream.write(json.dumps(row) + "\n")

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the table."""
        self.show()

    def show(self) -> None:
        """Print the table, once."""
        atexit.unregister(self.show)
        if self.file and self.file.exists():
            rows = sorted(Row(*json.loads(line)) for line in self.file.read_text().splitlines())
            self.file.unlink()
            print("\n".join(table(rows)))


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Write a multirun's jobs as lines: what sets each apart, its last stage's test metrics, and where it is.

    Args:
        rows: Of the jobs that have ended.
    """
    common = set(rows[0].overrides).intersection(*(row.overrides for row in rows)) if len(rows) > 1 else set()
    yield f"\n{len(rows)} jobs: test set, last stage, calibrated if the run is; percent, NLL in nats"
    yield f"{'#':>3}  {'job':{LABEL}}" + "".join(f"{label:>{WIDTH}}" for label in COLUMNS.values())
    for row in rows:
        words = [word.removeprefix("+experiment=") for word in row.overrides if word not in common]
        first, *more = wrap(" ".join(words), LABEL, break_long_words=False, break_on_hyphens=False) or [""]
        yield f"{row.number:>3}  {first:{LABEL}}" + numbers(Path(row.folder))
        yield from (f"     {words}" for words in (*more, os.path.relpath(row.folder)))


def numbers(folder: Path) -> str:
    """Format a run's test metrics, or say that it has none."""
    path = folder / "results.json"
    if not path.exists():
        return "  failed: error.txt" if (folder / "error.txt").exists() else "  not finished"
    results = json.loads(path.read_text())
    stage = "stage2" if results["stage2"] else "stage1"
    test = (results["calibrated"] or {}).get(stage, results[stage])["test"]
    return "".join(f"{_shown(key, test.get(key)):>{WIDTH}}" for key in COLUMNS)


def _shown(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if key == "nll" else f"{100 * value:.2f}"
