"""Tables of rows, as Markdown and CSV: mean and standard deviation over seeds."""

import csv
import io
import math
import statistics
from collections.abc import Callable, Container, Sequence
from typing import Any

from lt_calib.report.published import Published
from lt_calib.report.rows import METRICS, Group, Row, mean


def show(values: Sequence[float | None], percent: bool) -> str:
    """Format a mean, with its standard deviation (n - 1) where there are several values; ``-`` where one is missing."""
    numbers = [v for v in values if v is not None and math.isfinite(v)]
    if len(numbers) < len(values) or not numbers:
        return "-"
    scale, digits = (100, 2) if percent else (1, 3)
    shown = f"{scale * statistics.mean(numbers):.{digits}f}"
    return shown if len(numbers) == 1 else f"{shown} ± {scale * statistics.stdev(numbers):.{digits}f}"


def cell(row: Row, metric: str) -> str:
    """Format one metric of a row: percent, but for the NLL (nats); the ECE with its noise floor."""
    text = show(row.values[metric], percent=metric != "nll")
    floor = [row.values[f"ece_floor_{part}"] for part in ("mean", "q95")]
    if metric == "ece" and all(v is not None for part in floor for v in part):
        text += f" (floor {100 * mean(floor[0]):.1f}, {100 * mean(floor[1]):.1f})"
    return text


def differences(row: Row, metric: str) -> list[str]:
    """Format ours minus each published number, in points, none where data, schedule, network or recipe are others."""
    if not row.as_published:
        return []
    theirs = [None if None in row.values[metric] else getattr(known, metric) for known in row.published]
    return ["-" if one is None else f"{100 * mean(row.values[metric]) - one:+.2f}" for one in theirs]


def shown_published(known: Published) -> str:
    """Format the published accuracy (ECE) and its source."""
    acc, ece = (f"{v:.2f}" if v is not None else "-" for v in (known.acc, known.ece))
    return f"{acc} ({ece}), {known.source}"


def data_of(group: Group) -> str:
    """Name the data, with what is held out."""
    return f"{group.dataset}, {group.val_per_class} a class held out" if group.val_per_class else group.dataset


COLUMNS: dict[str, Callable[[Row], str]] = {
    "data": lambda r: data_of(r.group),
    "IF": lambda r: f"{r.group.imbalance_factor:g}",
    "method": lambda r: ", ".join(filter(None, [r.group.method, r.group.variant])),
    "epochs": lambda r: r.group.epochs,
    "network": lambda r: r.group.network,
    "stage": lambda r: r.stage,
    **{label: (lambda r, m=metric: cell(r, m)) for metric, label in METRICS.items()},
    "published acc (ECE)": lambda r: "; ".join(map(shown_published, r.published)) or "-",
    "difference": lambda r: (
        "; ".join(f"{a} ({b})" for a, b in zip(differences(r, "acc"), differences(r, "ece"), strict=True)) or "-"
    ),
    "seeds": lambda r: r.seeds,
    "hardware, precision": lambda r: f"{r.hardware}, {r.group.precision}",
}
METRIC_OF = {label: metric for metric, label in METRICS.items()}


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Name the columns that say something.

    Without published numbers their two are left out, and so is the over-confidence of runs older than it.
    """
    out = [] if any(row.published for row in rows) else ["published acc (ECE)", "difference"]
    if all(None in row.values["overconf"] for row in rows):
        out.append("over-confidence")
    return [name for name in COLUMNS if name not in out]


def markdown(rows: Sequence[Row], without: Container[str] = ()) -> str:
    """Make a Markdown table; percent, but for the NLL (nats); ``without`` some of its columns."""
    columns = [name for name in columns_of(rows) if name not in without]
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = []
        for name in columns:
            text = COLUMNS[name](row)
            text = f"`{text}`" if name == "method" else text
            cells.append(f"**{text}**" if METRIC_OF.get(name) in row.bold else text)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def comma_separated(rows: Sequence[Row]) -> str:
    """Make CSV with one number a cell: mean and standard deviation of every metric, fractions; n = seeds."""
    text = io.StringIO()
    metrics = list(rows[0].values) if rows else []
    writer = csv.writer(text, lineterminator="\n")
    about = ("dataset", "imbalance_factor", "val_per_class", "method", "epochs", "network", "precision", "variant")
    head = [*about, "hardware", "stage", "n"]
    theirs = ["published_source", "published_acc_percent", "published_ece_percent"]  # the first; the others: report.md
    writer.writerow([*head, *(f"{m}{part}" for m in metrics for part in ("", "_sd")), *theirs])
    for row in rows:
        numbers: list[Any] = []
        for metric in metrics:
            values = [v for v in row.values[metric] if v is not None]
            whole = len(values) == len(row.values[metric]) > 0
            numbers.append(statistics.mean(values) if whole else "")
            numbers.append(statistics.stdev(values) if whole and len(values) > 1 else "")
        known = row.published[0][:3] if row.published else ("", "", "")
        writer.writerow(
            [*(getattr(row.group, name) for name in about), row.hardware, row.stage, len(row.runs), *numbers, *known]
        )
    return text.getvalue()
