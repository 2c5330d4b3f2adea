"""What a run leaves as numbers: results.json, predictions.npz, history.csv."""

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
from torch import Tensor

from lt_calib.checkpoint import write_atomically
from lt_calib.config import RESULTS_SCHEMA, changed, conf_dir, settings_hash
from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.errors import InputError
from lt_calib.metric.bootstrap import bootstrap_intervals
from lt_calib.metric.evaluate import MetricFunction, evaluate
from lt_calib.metric.per_class import per_class
from lt_calib.ranks import processes
from lt_calib.trainer import device_name

Splits = Mapping[str, tuple[Tensor, Tensor]]  # split -> logits (N, K) float32, targets (N,) int64
Metrics = Mapping[str, MetricFunction]


def assemble(
    cfg: DictConfig,
    data: LongTailedDataModule,
    fits: Mapping[str, Mapping[str, Any]],
    predictions: Mapping[str, Splits],
    metrics: Metrics,
    trainer: Trainer,
) -> dict[str, Any]:
    """Put the content of results.json together; fractions, not percent.

    Args:
        cfg: The composed configuration.
        data: What was trained on.
        fits: Stage -> ``{"epochs", "seconds", "images_per_second", ...}``, of a grid ``"point"`` too.
        predictions: Stage -> split -> (logits, targets).
        metrics: Name -> function.
        trainer: Says which device and precision were used.
    """

    def stage(name: str) -> dict[str, Any] | None:
        if name not in fits:
            return None
        splits = {split: evaluate(*predictions[name][split], data.groups, metrics) for split in predictions[name]}
        about = {k: fits[name][k] for k in ("epochs", "seconds", "images_per_second", "point") if k in fits[name]}
        return about | splits | with_intervals(*predictions[name]["test"])

    return {
        "schema": RESULTS_SCHEMA,
        "name": cfg.name,
        "experiment": cfg.experiment,
        "seed": cfg.seed,
        "settings": settings_hash(cfg),
        "changed": changed(cfg),
        "dataset": {
            "name": data.name,
            "imbalance_factor": data.imbalance_factor,
            "val_per_class": data.val_per_class,
            "split_seed": data.split_seed,
            "class_names": list(data.class_names),
            "class_counts": data.class_counts,
            "groups": data.groups,
        },
        "network": network_of(cfg),
        "recipe": recipe_of(cfg),
        "stage1": stage("stage1"),
        "stage2": stage("stage2"),
        "calibrated": None,
        "environment": {
            "torch": str(torch.__version__),
            "lightning": lightning.__version__,
            "device": device_name(trainer, processes(cfg)),
            "precision": str(trainer.precision),
            "git": git_commit(),
        },
    }


def network_of(cfg: DictConfig) -> dict[str, str]:
    """Name the backbone and stage 1's classifier, with their settings: ``ResNetCIFAR(blocks=1)``, ``Linear``."""

    def name(node: DictConfig) -> str:
        settings = ", ".join(f"{k}={v}" for k, v in node.items() if not str(k).startswith("_"))
        return node._target_.rsplit(".", 1)[-1] + (f"({settings})" if settings else "")

    return {"backbone": name(cfg.model.backbone), "classifier": name(cfg.model.classifier)}


def recipe_of(cfg: DictConfig) -> str:
    """Say how stage 1 is optimised, but for its epochs: what else than method and network a number depends on."""
    one = cfg.stage1
    schedule = ", ".join(f"{k} {v}" for k, v in one.schedule.items() if not str(k).startswith("_"))
    return (
        f"lr {one.lr:g}, {'Nesterov ' if one.nesterov else ''}momentum {one.momentum:g}, "
        f"weight decay {one.weight_decay:g}, batch {cfg.dataset.batch_size}, {schedule}"
    )


def with_intervals(logits: Tensor, targets: Tensor) -> dict[str, Any]:
    """Compute what stands beside the test metrics: bootstrap intervals, and every class's numbers."""
    probs = torch.softmax(logits.float(), dim=1)
    return {"test_intervals": bootstrap_intervals(logits, targets), "test_per_class": per_class(probs, targets)}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all; NaN is refused, since no JSON reader need take it."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_atomically(path, lambda stream: stream.write(text.encode()))


def read_results(folder: Path) -> dict[str, Any]:
    """Read a run's results.json.

    Raises:
        InputError: it is of another schema, or no JSON.
    """
    path = folder / "results.json"
    cure = "Move the folder away, and give the command that made it again"
    try:
        results = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}). {cure}") from error
    schema = results.get("schema") if isinstance(results, dict) else None
    if schema != RESULTS_SCHEMA:
        raise InputError(f"{path} has schema {schema}, and this version reads {RESULTS_SCHEMA}. {cure}")
    return results


def write_history(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write history.csv, a row an epoch of both stages."""
    columns = list(dict.fromkeys(key for row in rows for key in row)) or ["stage", "epoch"]
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


def read_predictions(path: Path) -> dict[str, dict[str, tuple[Tensor, Tensor]]]:
    """Read predictions.npz: stage -> split -> (logits (N, K) float32, targets (N,) int64)."""
    found: dict[str, dict[str, tuple[Tensor, Tensor]]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for name in arrays.files:
            stage, _, rest = name.partition("_")
            split = rest.removesuffix("_logits")
            if name.endswith("_logits"):
                pair = torch.from_numpy(arrays[name]), torch.from_numpy(arrays[f"{split}_targets"])
                found.setdefault(stage, {})[split] = pair
    return found


def git_commit() -> str | None:
    """Return the commit of the source tree that runs, with ``+changes`` where it has been edited; None in a wheel."""
    folder = Path(__file__).resolve().parent
    git = ["git", "-C", str(folder)]
    try:
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, timeout=10)
        if tracked.returncode != 0:
            return None
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10).stdout.strip()
        # Untracked files too: a loss of one's own, say; beside the package conf/ in a source tree.
        where = [str(folder), *([str(conf_dir())] if conf_dir().is_dir() else [])]
        changes = subprocess.run([*git, "status", "--porcelain", "--", *where], capture_output=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    return f"{commit}+changes" if changes else commit or None
