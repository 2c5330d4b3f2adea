"""The table that a run leaves on the screen."""

from collections.abc import Mapping
from typing import Any

from rich import get_console
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from lt_calib.job.record import factor_of

COLUMNS = {  # of the table on the screen; results.json has all metrics
    "acc": "acc",
    "ece": "ECE (floor)",
    "nll": "NLL",
    "acc_head": "head",
    "acc_medium": "medium",
    "acc_tail": "tail",
}
NOT_PERCENT = ("nll", "brier")


def print_table(results: Mapping[str, Any]) -> None:
    """Print both stages' test metrics: percent, but for NLL (nats); calibrated stages below, doubted ones marked."""
    data = results["dataset"]
    stages = {stage: results[stage] for stage in ("stage1", "stage2") if results[stage]}
    epochs = " + ".join(str(about["epochs"]) for about in stages.values())
    run = f"{results['name']}, {data['name']}, IF {factor_of(data)}, seed {results['seed']}, {epochs} epochs"
    table = Table(
        title=Text(f"{run}: test set", "table.title"),  # names are no markup
        caption="percent; NLL in nats; head, medium, tail: accuracy; "
        "floor: mean and 95 % quantile of the ECE of a calibrated model",
        box=SIMPLE_HEAD,
    )
    table.add_column("stage", no_wrap=True)
    for label in COLUMNS.values():
        table.add_column(label, justify="right", no_wrap=True)
    for stage, about in stages.items():
        table.add_row(stage[-1], *(show(key, about["test"]) for key in COLUMNS))
    for stage, found in (results["calibrated"] or {}).items():
        doubted = "*" if found.get("doubts") else ""
        table.add_row(Text(f"{stage[-1]} {found['method']}{doubted}"), *(show(key, found["test"]) for key in COLUMNS))
    get_console().print(table)
    for stage, found in (results["calibrated"] or {}).items():
        for doubt in found.get("doubts", []):
            get_console().print(f"* {stage[-1]} {found['method']}: {doubt}", markup=False, highlight=False)


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
