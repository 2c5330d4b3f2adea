"""What a run leaves as numbers: results.json, predictions.npz, history.csv."""

import csv
import io
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lt_calib.errors import InputError
from lt_calib.files.checkpoint import write_atomically
from lt_calib.job.parts import Metrics, Splits
from lt_calib.job.record import RESULTS_SCHEMA
from lt_calib.measure.bootstrap import bootstrap_intervals
from lt_calib.measure.by_predicted import by_predicted
from lt_calib.measure.evaluate import evaluate
from lt_calib.measure.macro_intervals import macro_intervals
from lt_calib.measure.per_class import per_class
from lt_calib.measure.pieces import pieces

log = logging.getLogger(__name__)
LARGEST = float(np.finfo(np.float16).max)


def assemble(
    record: Mapping[str, Any],
    fits: Mapping[str, Mapping[str, Any]],
    predictions: Mapping[str, Splits],
    metrics: Metrics,
) -> dict[str, Any]:
    """Put the content of results.json together, the record and the numbers; fractions, not percent.

    Args:
        record: What is known before anything trains.
        fits: Stage -> ``{"epochs", "seconds", "images_per_second", ...}``, of a grid ``"point"`` too, of a
            classifier that settles something without training ``"classifier"``, of a given checkpoint ``"sha256"``.
        predictions: Stage -> split -> (logits, targets).
        metrics: Name -> function.
    """
    groups, n_bins = record["dataset"]["groups"], record["n_bins"]

    def stage(name: str) -> dict[str, Any] | None:
        if name not in fits:
            return None
        splits = {split: evaluate(*predictions[name][split], groups, metrics) for split in predictions[name]}
        keys = ("epochs", "seconds", "images_per_second", "point", "classifier", "sha256")
        about = {k: fits[name][k] for k in keys if k in fits[name]}
        return about | splits | with_intervals(*predictions[name]["test"], n_bins, groups, metrics)

    numbers = {"stage1": stage("stage1"), "stage2": stage("stage2"), "calibrated": None}
    return {**{k: v for k, v in record.items() if k != "environment"}, **numbers, "environment": record["environment"]}


def with_intervals(
    logits: Tensor, targets: Tensor, n_bins: int, groups: Mapping[str, list[int]], metrics: Collection[str]
) -> dict[str, Any]:
    """Compute what stands beside the test metrics: intervals, and the numbers by true and by predicted class.

    Args:
        logits: (N, K) float.
        targets: (N,) int64.
        n_bins: Of the classes' ECE.
        groups: Classes of head, medium and tail.
        metrics: Names of those that are measured; of a mean over classes the interval is computed where it is.
    """
    probs = torch.softmax(logits.float(), dim=1)
    return {
        "test_intervals": bootstrap_intervals(logits, targets) | macro_intervals(probs, targets, metrics),
        "test_per_class": per_class(probs, targets, n_bins),
        "test_by_predicted": by_predicted(probs, targets, groups),
    }


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
    if schema == 1:
        cure = f"It is of version 0.1.0: python -m lt_calib.convert {folder} writes it anew"
    if schema != RESULTS_SCHEMA:
        raise InputError(f"{path} has schema {schema}, and this version reads {RESULTS_SCHEMA}. {cure}")
    return results


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV of rows that need not have all columns."""
    columns = list(dict.fromkeys(key for row in rows for key in row)) or ["stage", "epoch"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, lambda stream: stream.write(text.getvalue().encode()))


def write_predictions(
    path: Path, predictions: Mapping[str, Splits], class_counts: Sequence[int], kept: str = "float32"
) -> None:
    """Write predictions.npz.

    Arrays: ``{stage}_{split}_logits`` (N, K), ``{split}_targets`` (N,) int64, ``class_counts`` (K,) int64.

    Args:
        path: Of the file.
        predictions: Stage -> split -> (logits, targets).
        class_counts: Training images per class.
        kept: Type of the logits: ``"float32"``, or ``"float16"``, half as large, of three digits and at most 65504.
    """
    arrays: dict[str, Any] = {"class_counts": np.asarray(class_counts, dtype=np.int64)}
    for stage, splits in predictions.items():
        for split, (logits, targets) in splits.items():
            arrays[f"{stage}_{split}_logits"] = logits.numpy() if kept == "float32" else halved(logits)
            arrays[f"{split}_targets"] = targets.numpy()
    write_atomically(path, lambda stream: np.savez(stream, **arrays))


def halved(logits: Tensor) -> np.ndarray:
    """Round logits to float16; what is beyond its range takes its end."""
    half = torch.empty(logits.shape, dtype=torch.float16)
    for rows in pieces(logits):
        half[rows] = logits[rows].clamp(-LARGEST, LARGEST)
    return half.numpy()


def widened(logits: np.ndarray, path: Path) -> Tensor:
    """Return a file's logits as float32, and say once where they are float16."""
    if logits.dtype == np.float16:
        say_halved(path.parent)
    return torch.from_numpy(logits).float()


@cache
def say_halved(folder: Path) -> None:
    """Say that what is read is rounded; the run's own numbers are not."""
    log.warning("%s keeps its logits in float16: what is computed of them is right to about three digits.", folder)


def read_predictions(path: Path) -> dict[str, dict[str, tuple[Tensor, Tensor]]]:
    """Read predictions.npz: stage -> split -> (logits (N, K) float32, targets (N,) int64), see :func:`widened`."""
    found: dict[str, dict[str, tuple[Tensor, Tensor]]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for name in arrays.files:
            stage, _, rest = name.partition("_")
            split = rest.removesuffix("_logits")
            if name.endswith("_logits"):
                pair = widened(arrays[name], path), torch.from_numpy(arrays[f"{split}_targets"])
                found.setdefault(stage, {})[split] = pair
    return found
