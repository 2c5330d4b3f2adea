"""The columns of a table of rows by the names that ``--columns`` takes, and the rows that it shows."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lt_calib.errors import InputError
from lt_calib.job.screen import COLUMNS as ON_SCREEN
from lt_calib.job.screen import NOT_PERCENT
from lt_calib.report.group import METRICS, grouped, variants_of
from lt_calib.report.names import called
from lt_calib.report.paired import last_stages
from lt_calib.report.rows import Row, mark_bold
from lt_calib.report.table import COLUMNS, show

USUAL = ("method", "stage", "seeds", "acc", "ece", "nll", "tail")
STAGES: dict[str, Callable[[Sequence[Row]], list[Row]]] = {
    "1": lambda rows: [row for row in rows if row.stage == "1"],
    "2": lambda rows: [row for row in rows if row.stage == "2"],
    "calibrated": lambda rows: [row for row in rows if len(row.stage) > 1],
    "last": last_stages,
}
ABOUT: dict[str, tuple[str, Callable[[Row], str]]] = {  # name -> head, text
    "method": ("method", called),
    "experiment": ("experiment", lambda row: row.group.method),
    "stage": ("stage", lambda row: row.stage),
    "seeds": ("seeds", lambda row: str(len(row.runs))),
    "data": ("data", COLUMNS["data"]),
    "if": ("IF", COLUMNS["IF"]),
    "epochs": ("epochs", COLUMNS["epochs"]),
    "network": ("network", COLUMNS["network"]),
    "hardware": ("hardware, precision", COLUMNS["hardware, precision"]),
    "published": ("published acc (ECE)", COLUMNS["published acc (ECE)"]),
    "difference": ("difference", COLUMNS["difference"]),
}
SHORT = {"head": "acc_head", "medium": "acc_medium", "tail": "acc_tail"}


@dataclass(frozen=True)
class Column:
    """One column: what stands over it, and the text of a row; of a metric its key, and no text."""

    head: str
    text: Callable[[Row], str] | None = None
    metric: str = ""

    def percent(self) -> bool:
        """Whether the metric is shown in percent."""
        return not self.metric.startswith(NOT_PERCENT)

    def center(self, row: Row) -> str:
        """Format a metric's mean over the seeds, or the text."""
        if self.text is not None:
            return self.text(row)
        return show([row.mean(self.metric)], self.percent())

    def spread(self, row: Row) -> str:
        """Format the standard deviation over the seeds (n - 1), ``± 0.12``; nothing where there are not two."""
        return show(row.over_seeds(self.metric), self.percent()).partition(" ")[2] if self.metric else ""

    def floor(self, row: Row) -> str:
        """Format the floor of an ECE: mean and 95 % quantile of a calibrated model's; nothing of another metric."""
        found = (
            [100 * row.mean(f"ece_floor_{part}") for part in ("mean", "q95")] if self.metric == "ece" else [math.nan]
        )
        return "" if any(map(math.isnan, found)) else "({:.1f}, {:.1f})".format(*found)

    def plain(self, row: Row, floor: bool = True) -> str:
        """Format all in one line: ``5.00 ± 0.10 (1.2, 1.7)``."""
        return " ".join(filter(None, [self.center(row), self.spread(row), self.floor(row) if floor else ""]))


def columns_of(names: Sequence[str], rows: Sequence[Row]) -> list[Column]:
    """Look up columns by name.

    Raises:
        InputError: there is none of a name; names those there are.
    """
    measured = list(dict.fromkeys(metric for row in rows for metric in (*row.values, *row.others)))
    found = []
    for name in names:
        key = SHORT.get(name, name)
        if name in ABOUT:
            found.append(Column(*ABOUT[name]))
        elif key in measured:
            short = {metric: label for label, metric in SHORT.items()}
            found.append(Column(ON_SCREEN.get(key, short.get(key, METRICS.get(key, key))), metric=key))
        else:
            raise InputError(f"--columns {name}: there are {', '.join([*ABOUT, *SHORT, *measured])}")
    return found


def usual(rows: Sequence[Row]) -> list[Column]:
    """Return the columns that matter, without metrics that no row has."""
    columns = columns_of(USUAL, rows)
    return [c for c in columns if not c.metric or any(row.values[c.metric].notna().any() for row in rows)]


def chosen(rows: list[Row], pattern: str | None, stage: str | None, split: str) -> list[Row]:
    """Take the rows that are asked for, with what is best among them in bold.

    Args:
        rows: Of all runs.
        pattern: A regular expression that finds a part of the experiment's key, of the method's name or of the variant.
        stage: One of ``STAGES``; None, all.
        split: On which they are compared.

    Raises:
        InputError: the pattern is none, or there is no such row.
    """
    if pattern is None and stage is None:
        return rows
    try:
        wanted = re.compile(pattern or "", re.IGNORECASE)
    except re.error as error:
        raise InputError(f"--rows {pattern} is no regular expression: {error}") from error
    found = [row for row in rows if wanted.search(f"{row.group.method}, {called(row)}")]
    found = STAGES[stage](found) if stage else found
    if not found:
        there = ", ".join(dict.fromkeys(row.group.method for row in rows))
        raise InputError(f"--rows {pattern or '.'} --stage {stage or 'any'} leaves no row of {there}")
    for row in found:
        row.bold.clear()
    mark_bold(found, split)
    return found


def by_setting(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Gather the rows that may stand in one table, under its title: one data set, factor, backbone and length.

    What was changed of every experiment in a table, ``cross_fit=5``, stands in the title, and in no row.
    """
    alike = grouped(
        rows, lambda row: (row.group.data, row.group.imbalance_factor, row.group.backbone, row.group.length)
    )
    found = {}
    for (data, _, backbone, epochs), mine in alike.items():
        network = "" if backbone in ("-", "none") else f", {backbone}"
        several = len({row.group.method for row in mine}) > 1
        changed = [variants_of(row.runs[0]) for row in mine]
        shared = [part for part in changed[0] if several and all(part in parts for parts in changed)]
        own = [", ".join(part for part in parts if part not in shared) for parts in changed]
        title = ", ".join([f"{data}, IF {mine[0].factor}{network}, {epochs} epochs of stage 1", *shared])
        found[title] = [
            replace(row, group=row.group._replace(variant=variant)) for row, variant in zip(mine, own, strict=True)
        ]
    return found
