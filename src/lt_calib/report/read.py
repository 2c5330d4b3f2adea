"""Find finished runs, and those that are not."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lt_calib.errors import InputError
from lt_calib.job.record import RESULTS_SCHEMA

Run = dict[str, Any]  # the content of results.json, and "folder" where it lies


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read every file ``*.json`` with a run's results below the folders, once each.

    Raises:
        InputError: a folder that is not there.
    """
    paths: dict[Path, None] = {}
    for folder in folders:
        if not folder.exists():
            raise InputError(f"{folder} is not there; name folders with finished runs, outputs/ say")
        paths |= dict.fromkeys(p.resolve() for p in sorted(folder.rglob("*.json")))
    runs = []
    for path in paths:
        try:
            content = json.loads(path.read_text())
        except ValueError as error:
            print(f"not counted: {path} is no JSON: {error}", file=sys.stderr)
            continue
        if not isinstance(content, dict) or "stage1" not in content:
            continue  # no run's results
        if content.get("schema") != RESULTS_SCHEMA:
            schema = content.get("schema")
            cure = "python -m lt_calib.convert FOLDER writes it anew" if schema == 1 else "run its job again"
            said = f"has schema {schema} and not {RESULTS_SCHEMA}: {cure}"
            print(f"not counted: {path} {said}", file=sys.stderr)
            continue
        runs.append(content | {"folder": path.parent, "file": path.name})
    return runs


def predictions_file(run: Run) -> Path | None:
    """Return where a run's logits are; None where only its numbers were kept."""
    path = run.get("folder", Path("nowhere")) / "predictions.npz"
    return path if run.get("file") == "results.json" and path.exists() else None


def grid_of(run: Run) -> dict[str, Any] | None:
    """Return the content of the grid.json of a run, or of its copy in a campaign; None where it has none."""
    name = "grid.json" if run["file"] == "results.json" else str(Path(run["file"]).with_suffix(".grid.json"))
    path = run["folder"] / name
    return json.loads(path.read_text()) if path.exists() else None


def unfinished(folders: Sequence[Path]) -> list[Path]:
    """Name the runs' folders that hold no results: failed, or still running."""
    marks = ("config.yaml", "error.txt")
    found = {p.parent for folder in folders for mark in marks for p in folder.rglob(mark) if p.parent.name != ".hydra"}
    return sorted(p for p in found if not (p / "results.json").exists())
