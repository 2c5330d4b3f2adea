"""Find finished runs, and those that are not; a damaged or foreign file costs itself, and nothing else."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lt_calib.errors import InputError
from lt_calib.job.record import RESULTS_SCHEMA
from lt_calib.job.results import widened
from lt_calib.report.group import Run, check, plain

log = logging.getLogger("lt_calib.report")


@cache  # what many tables would use is said once
def not_counted(why: str) -> None:
    """Say that a file is left out."""
    log.warning("not counted: %s", plain(why))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file in whatever is raised of its content.

    Raises:
        InputError: it is not as needed.
    """
    try:
        yield
    except (InputError, FileNotFoundError):
        raise
    except Exception as error:  # there is no end to what a file may hold
        raise InputError(f"{path} is damaged or none of lt_calib's ({type(error).__name__}: {error})") from error


@contextmanager
def left_out_if_damaged(path: Path) -> Iterator[None]:
    """End the block where the file's content is not as needed, and say so."""
    try:
        with reading(path):
            yield
    except (InputError, FileNotFoundError) as error:
        not_counted(str(error))


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Read every file ``*.json`` with a run's results below the folders, and the files that are named, once each.

    Raises:
        InputError: a folder or file that is not there.
    """
    found: dict[Path, bool] = {}  # whether it is named itself
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} is not there; name folders with finished runs, outputs/ say")
        below = [p for p in sorted(path.rglob("*.json")) if p.is_file()]
        found |= {p.resolve(): p == path for p in ([path] if path.is_file() else below)}
    runs = []
    for path, named in found.items():
        with left_out_if_damaged(path):
            content = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)  # NaN: missing
            if not isinstance(content, dict) or "stage1" not in content:
                if named:
                    raise InputError(f"{path} holds no run's results")
                continue
            schema = content.get("schema")
            if schema != RESULTS_SCHEMA:
                cure = "python -m lt_calib.convert FOLDER writes it anew" if schema == 1 else "run its job again"
                raise InputError(f"{path} has schema {schema} and not {RESULTS_SCHEMA}: {cure}")
            check(content)
            runs.append(content | {"folder": path.parent, "file": path.name})
    return runs


def logits_of(run: Run, stage: str, split: str) -> tuple[Tensor, Tensor] | None:
    """Return a stage's logits (N, K) float32 and the targets (N,); None where they were not kept, or are damaged."""
    path = run["folder"] / "predictions.npz"
    if run["file"] != "results.json" or not path.exists():
        return None
    with left_out_if_damaged(path), np.load(path, allow_pickle=False) as arrays:
        if f"{stage}_{split}_logits" not in arrays:
            return None
        logits, targets = arrays[f"{stage}_{split}_logits"], arrays[f"{split}_targets"]
        n, k = logits.shape
        if targets.shape != (n,) or not np.isfinite(logits).all() or not 0 <= targets.min() <= targets.max() < k:
            raise InputError(f"{path}: {stage}'s logits and the targets of the {split} part do not fit each other")
        return widened(logits, path), torch.from_numpy(targets)
    return None


def grid_of(run: Run) -> dict[str, Any] | None:
    """Return the content of the grid.json of a run, or of its copy in a campaign; None where it has none."""
    path = grid_file(run)
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None) if path.exists() else None


def grid_file(run: Run) -> Path:
    """Return where the grid of a run is, if it has one."""
    name = "grid.json" if run["file"] == "results.json" else str(Path(run["file"]).with_suffix(".grid.json"))
    return run["folder"] / name


def unfinished(folders: Sequence[Path]) -> list[Path]:
    """Name the runs' folders that hold no results: failed, or still running."""
    marks = ("config.yaml", "error.txt")
    found = {p.parent for folder in folders for mark in marks for p in folder.rglob(mark) if p.parent.name != ".hydra"}
    return sorted(p for p in found if not (p / "results.json").exists())
