"""The table that a run leaves on the screen."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import get_console
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lt_calib.conformal.coverage import in_short as in_lists
from lt_calib.job.record import factor_of

log = logging.getLogger(__name__)

COLUMNS = {  # of the table on the screen; results.json has all metrics
    "acc": "acc",
    "ece": "ECE (floor)",
    "nll": "NLL",
    "acc_head": "head",
    "acc_medium": "medium",
    "acc_tail": "tail",
}
LABEL = 12  # characters of a label that are never wrapped: its longest word, mostly
NOT_PERCENT = ("nll", "brier")


OVER: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    "images": lambda test: test,
    "classes": lambda test: {key: test.get(f"{key}_balanced") for key in ("acc", "ece", "nll")},
}


def print_run(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    """Print both stages' table and where page and figures are, and return the results."""
    print_table(results)
    if (folder / "report.html").is_file():
        log.info("Look here first: %s", os.path.relpath(folder / "report.html"))
    if number := len(list((folder / "figures").glob("*.png"))):
        log.info("%d figure%s in %s", number, "s" * (number > 1), os.path.relpath(folder / "figures"))
    return results


@dataclass
class Shown:
    """What a run leaves on the screen, as texts."""

    run: str
    caption: str
    head: list[str]
    lines: list[list[str]]
    doubts: list[str]
    sentence: str


def shown(results: Mapping[str, Any]) -> Shown:
    """Format both stages' test metrics, as far as measured, calibrated ones below: percent, but for NLL (nats).

    Args:
        results: Content of results.json.
    """
    data = results["dataset"]
    stages = {stage: results[stage] for stage in ("stage1", "stage2") if results[stage]}
    epochs = " + ".join(str(about["epochs"]) for about in stages.values())
    rows = {stage[-1]: about["test"] for stage, about in stages.items()}
    calibrated = (results["calibrated"] or {}).items()
    rows |= {_name(stage, found) + "*" * bool(found.get("doubts")): found["test"] for stage, found in calibrated}
    uneven = [about for about in stages.values() if len(set(about.get("test_per_class", {}).get("count", ()))) > 1]
    if uneven:  # of a test set that is not balanced, both
        rows = {f"{label} {over}": of(test) for label, test in rows.items() for over, of in OVER.items()}
    columns = {key: label for key, label in COLUMNS.items() if any(key in test for test in rows.values())}
    label, test = list(rows.items())[-1]
    said = in_short(test)
    doubted = " But its calibrator is doubted (*)." if label.endswith("*") else ""
    return Shown(
        run=f"{results['name']}, {data['name']}, IF {factor_of(data)}, seed {results['seed']}, {epochs} epochs",
        caption="percent; NLL in nats; head, medium, tail: accuracy; "
        "floor: mean and 95 % quantile of the ECE of a calibrated model"
        + "; the test set is not balanced: over classes, each class weighs alike"
        * bool(uneven),
        head=["stage", *columns.values()],
        lines=[[label, *(show(key, test) for key in columns)] for label, test in rows.items()],
        doubts=[
            f"* {_name(stage, found)}: {doubt}" for stage, found in calibrated for doubt in found.get("doubts", [])
        ],
        sentence=f"In short, of {label.rstrip('*')}: {said}{doubted}" if said else "",
    )


def print_table(results: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the table, what is doubted of the calibrators, and what to conclude.

    Names are plain text, and no number is cut: labels are wrapped first, then the table is wider than the screen.

    Args:
        results: Content of results.json.
        console: Where; None takes the process's own.
    """
    told = shown(results)
    table = Table(title=Text(f"{told.run}: test set"), caption=Text(told.caption), box=SIMPLE_HEAD)
    table.add_column("stage", overflow="fold", min_width=LABEL)
    for label, *texts in list(zip(told.head, *told.lines, strict=True))[1:]:
        width = max(map(len, (label, *texts)))
        table.add_column(label, justify="right", no_wrap=True, min_width=width)
    for line in told.lines:
        table.add_row(*map(Text, line))
    console = console or get_console()
    print_whole(table, console)
    sets = in_lists(results["conformal"]) if results.get("conformal") else ""
    for text in filter(None, [*told.doubts, told.sentence, sets]):
        console.print(Text(text))


def print_whole(table: Table, console: Console) -> None:
    """Print a table; wider than the screen where a word or number would be cut otherwise."""
    least = console.measure(table, options=console.options.update(max_width=1000)).minimum
    table.width = least if least > console.width else None
    console.print(table, crop=False)


def in_short(test: Mapping[str, float | None]) -> str:
    """Say in a sentence whether the confidence can be taken at its word; nothing where ECE or floor is not measured."""
    ece, least = test.get("ece"), test.get("ece_floor_q95")
    if ece is None or least is None:
        return ""
    if ece <= least:
        return (
            f"its confidence can be taken at its word; an ECE of {100 * ece:.1f} % is what a calibrated model of that "
            f"confidence has on these images, too (up to {100 * least:.1f} %)."
        )
    lean = test.get("overconf") or 0.0
    way = "too sure" if lean > 0 else "not sure enough"
    return (
        f"its confidence cannot be taken at its word: on average it is {100 * abs(lean):.1f} points {way}, and its ECE "
        f"of {100 * ece:.1f} % lies above the {100 * least:.1f} % that a calibrated model stays below 95 times in 100."
    )


def _name(stage: str, calibrated: Mapping[str, Any]) -> str:
    chosen = calibrated.get("parameters", {}).get("chosen")  # of posthoc=select
    said = f"{calibrated['method']}: {chosen}" if chosen else calibrated["method"]
    return f"{stage[-1]} {said.replace('_', ' ')}"


def show(key: str, test: Mapping[str, float | None]) -> str:
    """Format a metric for the screen: percent, but for NLL and Brier; the ECE with its floor."""
    value = test.get(key)
    if value is None:
        return "-"
    if key.startswith(NOT_PERCENT):
        return f"{value:.3f}"
    floor = ""
    if key == "ece" and test.get("ece_floor_mean") is not None:
        floor = f" ({100 * test['ece_floor_mean']:.1f}, {100 * test['ece_floor_q95']:.1f})"  # type: ignore[operator]
    return f"{100 * value:.2f}{floor}"
