"""The table of confidence and accuracy by what is predicted, from results.json."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

from lt_calib.errors import InputError
from lt_calib.job.results import write_rows

COLUMNS = 79
MOST_SHOWN = 10  # classes, the least trustworthy first
TABLE = "reliability.csv"


def reliability_table(folder: Path, results: Mapping[str, Any]) -> list[str]:
    """Write reliability.csv, a line for each stage, group and class; return the last stage's as lines, and a sentence.

    Args:
        folder: The run's.
        results: Content of its results.json.

    Raises:
        InputError: the run was made before these numbers were kept.
    """
    stages = {stage: results[stage] for stage in ("stage1", "stage2") if results[stage]}
    every = stages | {f"{stage} calibrated": found for stage, found in (results["calibrated"] or {}).items()}
    if any("test_by_predicted" not in about for about in every.values()):
        raise InputError(
            f"{folder} was made before results.json kept confidence and accuracy by predicted class: run it again in "
            "another folder, or calibrate it again if only its calibrator is older"
        )
    names = results["dataset"].get("class_names") or []
    rows, last = [], []
    for stage, about in every.items():
        found = about["test_by_predicted"]
        last = [{"stage": stage, "predicted": name, **row} for name, row in found["groups"].items()]
        classes = [
            {"stage": stage, "predicted": names[c] if names else str(c), **row}
            for c, row in enumerate(found["classes"])
        ]
        rows += [*last, *classes]
        last += sorted(classes, key=_beyond, reverse=True)[:MOST_SHOWN]
    write_rows(folder / TABLE, rows)
    lines = [f"{last[0]['stage']}, test images by what they are predicted as; percent",
             f"{'predicted':24}{'images':>8}{'confidence':>12}{'right':>8}{'95 % interval':>18}"]  # fmt: skip
    lines += [_line(row) for row in last]
    k = len(names) or len(results["dataset"]["class_counts"])
    if k > MOST_SHOWN:
        lines.append(f"of {k} classes those whose confidence is furthest from its interval; all: {folder / TABLE}")
    outside = sum(_beyond(row) > 0 for row in rows[-k:])
    said = sum(row["count"] > 0 for row in rows[-k:])
    lines.append(
        fill(
            f"In short: of the {said} classes that are predicted at all, {outside} are right more or less often than "
            f"they say, beyond what chance does; of a calibrated model about {0.05 * said:.0f} would be.", COLUMNS
        )
    )  # fmt: skip
    return lines


def _beyond(row: Mapping[str, Any]) -> float:
    """Measure how far the confidence lies outside the accuracy's interval; below 0 inside of it."""
    if not row["count"]:
        return -1.0
    return max(row["confidence"] - row["high"], row["low"] - row["confidence"])


def _line(row: Mapping[str, Any]) -> str:
    name = f"{row['predicted'][:23]:24}{row['count']:>8}"
    if not row["count"]:
        return name
    sure, acc, low, high = (100 * row[key] for key in ("confidence", "acc", "low", "high"))
    return f"{name}{sure:12.1f}{acc:8.1f}{f'{low:.1f} to {high:.1f}':>18}" + " *" * (_beyond(row) > 0)
