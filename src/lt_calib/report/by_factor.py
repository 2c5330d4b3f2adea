"""Tables in the shape of the papers: a method's stage a line, an imbalance factor a column, accuracy / ECE in each."""

from collections.abc import Sequence
from typing import Any

from lt_calib.report.group import grouped
from lt_calib.report.published import PUBLISHED_AS, published
from lt_calib.report.rows import Row
from lt_calib.report.table import Table, acc_ece, by_columns, differences, published_pair


def by_factor(rows: Sequence[Row]) -> list[Table]:
    """Arrange rows by imbalance factor; one table for each data set, validation part, backbone and length of stage 1.

    Of several results in one cell, from other settings, all are shown; under a line of ours stand the published one and
    the difference.
    """
    tables = []
    for (data, backbone, epochs), mine in grouped(
        rows, lambda row: (row.group.data, row.group.backbone, row.group.length)
    ).items():
        called = {row.group.imbalance_factor: row.factor for row in sorted(mine, key=lambda row: len(row.factor))}
        cells: list[tuple[Any, ...]] = []
        told = set[tuple[str, str]]()  # whose published numbers stand in the table: other settings need them not again
        for about, some in grouped(mine, lambda row: (row.group.label, row.group.epochs, row.stage)).items():
            cells += [(*about, "ours", row.group.imbalance_factor, acc_ece(row)) for row in some]
            method, dataset = some[0].group.method, some[0].group.dataset
            theirs = PUBLISHED_AS.get(method, method), about[-1]
            if any(row.published for row in some) and theirs not in told:
                told.add(theirs)
                cells += [(*about, "published", f, published_at(method, dataset, f, about[-1])) for f in called]
            if any(differences(row) for row in some):  # after a shorter schedule there is none to tell
                cells += [(*about, "difference", row.group.imbalance_factor, _difference(row)) for row in some]
        title = f"{data}, {backbone}, {epochs} epochs of stage 1, on {hardware_of(mine)}"
        tables.append(by_columns(f"{title}: {ACC_ECE}", ("method", "epochs", "stage", ""), cells, called))
    return tables


ACC_ECE = "accuracy / ECE (runs); empty: not run"


def hardware_of(rows: Sequence[Row]) -> str:
    """Name all that the runs of some rows were trained on, with its precision."""
    on = {f"{run['environment']['device']} in {row.group.precision}" for row in rows for run in row.runs}
    return ", ".join(sorted(on))


def published_at(method: str, dataset: str, factor: float, stage: str) -> str:
    """Format every published accuracy / ECE of a method's stage; ``-`` where there is none."""
    known = published(method, dataset, factor, f"stage{stage}")
    return " ; ".join(" / ".join(published_pair(one)) for one in known) or "-"


def _difference(row: Row) -> str:
    return " ; ".join(" / ".join(pair) for pair in differences(row)) or "-"
