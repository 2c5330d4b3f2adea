"""Tables of texts, and what stands in their cells: mean and standard deviation over seeds."""

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from lt_calib.report.group import METRICS, grouped, plain
from lt_calib.report.published import Published
from lt_calib.report.rows import Row, deviation, mean


@dataclass
class Table:
    """One table of texts."""

    title: str
    head: list[str]
    lines: list[list[str]]
    bold: Container[tuple[int, int]] = ()  # line and column of the cells that are

    def __post_init__(self) -> None:
        self.title, self.head = plain(self.title), [plain(text) for text in self.head]
        self.lines = [[plain(text) for text in line] for line in self.lines]


def by_columns(
    title: str,
    head: Sequence[str],
    cells: Sequence[tuple[Any, ...]],
    called: Mapping[float, str] = MappingProxyType({}),
) -> Table:
    """Lay out cells (*about, imbalance factor, text): what they are about a line, a factor a column, largest first.

    Args:
        title: Of the table.
        head: Over what the cells are about.
        cells: Several of one place stand in it together.
        called: What stands for a factor, where that is more than the number.
    """
    factors = sorted({factor for *_, factor, _ in cells}, reverse=True)
    lines = [
        [*about, *(" ; ".join(text for *_, at, text in mine if at == factor and text) for factor in factors)]
        for about, mine in grouped(cells, lambda cell: cell[:-2]).items()
    ]
    return Table(title, [*head, *(f"IF {called.get(factor, f'{factor:g}')}" for factor in factors)], lines)


def show(values: Sequence[float], percent: bool) -> str:
    """Format a mean, with its standard deviation (n - 1) where there are several values; ``-`` where one is missing."""
    scale, digits = (100, 2) if percent else (1, 3)
    center, spread = mean(values), deviation(values)
    shown = "-" if math.isnan(center) else f"{scale * center:.{digits}f}"
    return shown if math.isnan(spread) else f"{shown} ± {scale * spread:.{digits}f}"


def acc_ece(row: Row) -> str:
    """Format accuracy / ECE (runs)."""
    return f"{show(row.over_seeds('acc'), True)} / {show(row.over_seeds('ece'), True)} ({len(row.runs)})"


def cell(row: Row, metric: str) -> str:
    """Format one metric of a row: percent, but for the NLL (nats); the ECE with its noise floor."""
    floor = [100 * row.mean(f"ece_floor_{part}") for part in ("mean", "q95")]
    more = f" (floor {floor[0]:.1f}, {floor[1]:.1f})" if metric == "ece" and not any(map(math.isnan, floor)) else ""
    return show(row.over_seeds(metric), percent=metric != "nll") + more


def differences(row: Row) -> list[tuple[str, str]]:
    """Format ours minus each published accuracy and ECE, in points.

    None where data, schedule, network or recipe are others.
    """

    def apart(theirs: float | None, metric: str) -> str:
        ours = 100 * row.mean(metric)
        return "-" if theirs is None or math.isnan(ours) else f"{ours - theirs:+.2f}"

    return [(apart(one.acc, "acc"), apart(one.ece, "ece")) for one in row.published if row.as_published]


def published_pair(known: Published) -> tuple[str, str]:
    """Format a published accuracy and ECE."""
    acc, ece = (f"{v:.2f}" if v is not None else "-" for v in (known.acc, known.ece))
    return acc, ece


COLUMNS: dict[str, Callable[[Row], str]] = {
    "data": lambda r: r.group.data,
    "IF": lambda r: r.factor,
    "method": lambda r: ", ".join(filter(None, [r.group.method, r.group.variant])),
    "epochs": lambda r: r.group.epochs,
    "network": lambda r: r.group.network,
    "stage": lambda r: r.stage,
    **{label: (lambda r, m=metric: cell(r, m)) for metric, label in METRICS.items()},
    "published acc (ECE)": lambda r: (
        "; ".join("{} ({}), {}".format(*published_pair(known), known.source) for known in r.published) or "-"
    ),
    "difference": lambda r: "; ".join(f"{a} ({b})" for a, b in differences(r)) or "-",
    "seeds": lambda r: ", ".join(str(run["seed"]) for run in r.runs),
    "hardware, precision": lambda r: f"{r.hardware}, {r.group.precision}",
}
IN_GROUPS = ("data", "IF", "method", "epochs", "network", "stage", *METRICS.values())


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Name the columns that say something.

    Without published numbers their two are left out, and so is the over-confidence of runs older than it.
    """
    out = [] if any(row.published for row in rows) else ["published acc (ECE)", "difference"]
    if all(math.isnan(row.mean("overconf")) for row in rows):
        out.append("over-confidence")
    return [name for name in COLUMNS if name not in out]


def overview(rows: Sequence[Row], columns: Sequence[str] = IN_GROUPS) -> Table:
    """Make a table of these columns, a row a line."""
    bold = {(i, columns.index(METRICS[m])) for i, row in enumerate(rows) for m in row.bold if METRICS[m] in columns}
    return Table("every metric", list(columns), [[COLUMNS[name](row) for name in columns] for row in rows], bold)
