"""What a run leaves: results.json, predictions.npz, history.csv, figures, and the table on the screen."""

import csv
import io
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning import Trainer
from omegaconf import DictConfig
from rich import get_console
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import Tensor

from lt_calib.checkpoint import write_atomically
from lt_calib.config import settings_hash
from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.figure.groups import group_bars
from lt_calib.figure.reliability import reliability
from lt_calib.figure.style import save
from lt_calib.metric.evaluate import MetricFunction, evaluate
from lt_calib.trainer import device_name

Splits = Mapping[str, tuple[Tensor, Tensor]]  # split -> logits (N, K) float32, targets (N,) int64
SCHEMA = 1
COLUMNS = {  # of the table on the screen; results.json has all metrics
    "acc": "acc",
    "ece": "ECE",
    "nll": "NLL",
    "brier": "Brier",
    "acc_head": "head",
    "acc_medium": "medium",
    "acc_tail": "tail",
}
NOT_PERCENT = ("nll", "brier")


def assemble(
    cfg: DictConfig,
    data: LongTailedDataModule,
    fits: Mapping[str, Mapping[str, Any]],
    predictions: Mapping[str, Splits],
    metrics: Mapping[str, MetricFunction],
    trainer: Trainer,
) -> dict[str, Any]:
    """Put the content of results.json together; fractions, not percent.

    Args:
        cfg: The composed configuration.
        data: What was trained on.
        fits: Stage -> ``{"epochs", "seconds", "images_per_second", ...}``.
        predictions: Stage -> split -> (logits, targets).
        metrics: Name -> function.
        trainer: Says which device and precision were used.
    """

    def stage(name: str) -> dict[str, Any] | None:
        if name not in fits:
            return None
        splits = {split: evaluate(*predictions[name][split], data.groups, metrics) for split in predictions[name]}
        return {k: fits[name][k] for k in ("epochs", "seconds", "images_per_second")} | splits

    return {
        "schema": SCHEMA,
        "name": cfg.name,
        "experiment": cfg.experiment,
        "seed": cfg.seed,
        "settings": settings_hash(cfg),
        "dataset": {
            "name": data.name,
            "imbalance_factor": data.imbalance_factor,
            "val_per_class": data.val_per_class,
            "class_counts": data.class_counts,
            "groups": data.groups,
        },
        "stage1": stage("stage1"),
        "stage2": stage("stage2"),
        "calibrated": None,
        "environment": {
            "torch": str(torch.__version__),
            "lightning": lightning.__version__,
            "device": device_name(trainer),
            "precision": str(trainer.precision),
            "git": git_commit(),
        },
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all; NaN is refused, since no JSON reader need take it."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_atomically(path, lambda stream: stream.write(text.encode()))


def write_history(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write history.csv, a row an epoch of both stages."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, lambda stream: stream.write(text.getvalue().encode()))


def write_predictions(path: Path, predictions: Mapping[str, Splits], class_counts: Sequence[int]) -> None:
    """Write predictions.npz.

    Arrays: ``{stage}_{split}_logits`` (N, K) float32, ``{split}_targets`` (N,) int64, ``class_counts`` (K,) int64.

    Args:
        path: Of the file.
        predictions: Stage -> split -> (logits, targets).
        class_counts: Training pictures a class.
    """
    arrays: dict[str, Any] = {"class_counts": np.asarray(class_counts, dtype=np.int64)}
    for stage, splits in predictions.items():
        for split, (logits, targets) in splits.items():
            arrays[f"{stage}_{split}_logits"] = logits.numpy()
            arrays[f"{split}_targets"] = targets.numpy()
    write_atomically(path, lambda stream: np.savez(stream, **arrays))


def draw_figures(folder: Path, results: Mapping[str, Any], predictions: Mapping[str, Splits]) -> list[Path]:
    """Draw a reliability diagram a stage and the head / medium / tail bars; return the PNGs' paths."""
    data = results["dataset"]
    title = f"{results['name']}, {data['name']}, IF {data['imbalance_factor']:g}"
    paths = []
    for stage, splits in predictions.items():
        logits, targets = splits["test"]
        figure = reliability(torch.softmax(logits, dim=1), targets, f"{title}\n{stage}")
        paths.append(save(figure, folder / f"{stage}_reliability")[0])
    stages = {stage: results[stage]["test"] for stage in predictions}
    paths.append(save(group_bars(stages, title), folder / "groups")[0])
    return paths


def print_table(results: Mapping[str, Any]) -> None:
    """Print both stages' test metrics: percent, but for NLL (nats) and Brier (0 to 2)."""
    data = results["dataset"]
    table = Table(
        title=f"{results['name']}, {data['name']}, IF {data['imbalance_factor']:g}, seed {results['seed']}: test set",
        caption="percent; NLL in nats, Brier 0 to 2; head, medium, tail: accuracy",
        box=SIMPLE_HEAD,
    )
    table.add_column("stage")
    table.add_column("epochs", justify="right")
    for label in COLUMNS.values():
        table.add_column(label, justify="right")
    for stage in ("stage1", "stage2"):
        if results[stage]:
            test = results[stage]["test"]
            cells = [show(key, test.get(key)) for key in COLUMNS]
            table.add_row(stage, str(results[stage]["epochs"]), *cells)
    get_console().print(table)


def show(key: str, value: float | None) -> str:
    """Format a metric for the screen: percent, but for NLL and Brier."""
    if value is None:
        return "-"
    return f"{value:.3f}" if key.startswith(NOT_PERCENT) else f"{100 * value:.2f}"


def git_commit() -> str | None:
    """Return the commit of the source tree that runs, with ``+changes`` where it has been edited; None in a wheel."""
    folder = Path(__file__).resolve().parent
    git = ["git", "-C", str(folder)]
    try:
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, timeout=10)
        if tracked.returncode != 0:
            return None
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    return f"{commit}+changes" if changed else commit or None
