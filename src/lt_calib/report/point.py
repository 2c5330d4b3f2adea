"""One point of a grid in full, from what the run has kept."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from lt_calib.errors import InputError
from lt_calib.figure.of_run import draw_figures
from lt_calib.job.grid import read_grid
from lt_calib.job.results import read_results
from lt_calib.job.screen import print_table
from lt_calib.report.group import plain
from lt_calib.report.read import reading


def draw_point(folder: Path, point: int) -> list[Path]:
    """Print one point's table and draw its figures into ``figures_point_K``.

    Args:
        folder: Of a finished run with a grid.
        point: Its number in grid.json.

    Raises:
        InputError: there is no grid or no such point, or it diverged.
    """
    with reading(folder / "grid.json"):
        points = read_grid(folder)["points"]
        if not 0 <= point < len(points):
            raise InputError(f"--point {point} must be 0 to {len(points) - 1}, see {folder / 'grid.json'}")
        found = points[point]
        if "diverged" in found:
            raise InputError(
                f"--point {point} diverged in epoch {found['diverged']}: {found['settings']} has no result"
            )
    with reading(folder / "results.json"):
        results = read_results(folder)
        results["stage2"] |= {k: v for k, v in found.items() if k not in ("point", "settings")}
        results["stage2"]["point"] = found["settings"]
        results["calibrated"] = None  # fitted to the run's own result
    with reading(folder / "grid.npz"):
        predictions = predictions_of(folder / "grid.npz", point)
    with reading(folder / "history.csv"), (folder / "history.csv").open(newline="") as stream:
        history = [{k: float(v) if v else None for k, v in row.items()} for row in csv.DictReader(stream)]
    with reading(folder / "config.yaml"):
        settings: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
        loss = settings["stage2"]["loss"] | found["settings"]
    print_table(results)
    print(f"point {point}: {plain(', '.join(f'{k}={v}' for k, v in found['settings'].items()))}")
    return draw_figures(folder / f"figures_point_{point}", results, predictions, history, loss)


def predictions_of(path: Path, point: int) -> dict[str, dict[str, tuple[Tensor, Tensor]]]:
    """Read stage 1's and one point's predictions from grid.npz: stage -> ``"test"`` -> (logits float32, targets)."""
    with np.load(path, allow_pickle=False) as arrays:
        together = "point_logits" in arrays  # as older versions wrote them
        logits = {
            "stage1": arrays["stage1_test_logits"],
            "stage2": arrays["point_logits"][point] if together else arrays[f"point{point}_test_logits"],
        }
        targets = torch.from_numpy(arrays["test_targets"])
    return {stage: {"test": (torch.from_numpy(z).float(), targets)} for stage, z in logits.items()}
