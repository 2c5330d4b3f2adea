"""Find finished runs, and those that are not."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Run = dict[str, Any]  # the content of results.json, and "folder" where it lies


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read every file ``*.json`` with a run's results below the folders, once each.

    Raises:
        SystemExit: a folder that is not there.
    """
    paths: dict[Path, None] = {}
    for folder in folders:
        if not folder.exists():
            sys.exit(f"{folder} is not there; name folders with finished runs, outputs/ say")
        paths |= dict.fromkeys(p.resolve() for p in sorted(folder.rglob("*.json")))
    runs = []
    for path in paths:
        content = json.loads(path.read_text())
        if isinstance(content, dict) and content.get("schema") == 1 and "stage1" in content:
            runs.append(content | {"folder": path.parent, "file": path.name})
    return runs


def predictions_file(run: Run) -> Path | None:
    """Return where a run's logits are; None where only its numbers were kept."""
    path = run.get("folder", Path("nowhere")) / "predictions.npz"
    return path if run.get("file") == "results.json" and path.exists() else None


def unfinished(folders: Sequence[Path]) -> list[Path]:
    """Name the runs' folders that hold no results: failed, or still running."""
    marks = ("config.yaml", "error.txt")
    found = {p.parent for folder in folders for mark in marks for p in folder.rglob(mark) if p.parent.name != ".hydra"}
    return sorted(p for p in found if not (p / "results.json").exists())
