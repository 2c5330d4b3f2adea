"""Tables in the shape of the papers: a method's stage a line, an imbalance factor a column, accuracy / ECE in each."""

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from lt_calib.report.published import Published, published
from lt_calib.report.rows import METRICS, Row
from lt_calib.report.table import COLUMNS, data_of, differences, show


@dataclass
class Table:
    """One table: percent, accuracy / ECE a cell; under a line of ours the published one and the difference."""

    title: str
    head: list[str]
    lines: list[list[str]]


def by_factor(rows: Sequence[Row]) -> list[Table]:
    """Arrange rows by imbalance factor; one table for each data set, validation part, backbone and length of stage 1.

    Of several results in one cell, from other settings, all are shown.
    """
    settings: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        settings[data_of(row.group), row.group.backbone, row.group.epochs.split(" ")[0]].append(row)
    tables = []
    for (data, backbone, epochs), mine in settings.items():
        factors = sorted({r.group.imbalance_factor for r in mine}, reverse=True)
        methods: dict[tuple[str, str, str], dict[float, list[Row]]] = defaultdict(lambda: defaultdict(list))
        for r in mine:
            methods[r.group.label, r.group.epochs, r.stage][r.group.imbalance_factor].append(r)
        lines = []
        for about, by in methods.items():
            lines.append([*about, "ours", *(" ; ".join(map(_ours, by[f])) for f in factors)])
            if any(r.published for found in by.values() for r in found):
                first = next(r for found in by.values() for r in found)
                theirs = [published(first.group.method, first.group.dataset, f, f"stage{first.stage}") for f in factors]
                lines.append([*about, "published", *(" ; ".join(map(numbers, known)) or "-" for known in theirs)])
                apart = [" ; ".join(map(_difference, by[f])) for f in factors]
                if set("".join(apart)) - set(" -/;"):  # after a shorter schedule there is no difference to tell
                    lines.append([*about, "difference", *apart])
        title = f"{data}, {backbone}, {epochs} epochs of stage 1, on {hardware_of(mine)}"
        title += ": accuracy / ECE (runs); empty: not run"
        tables.append(Table(title, ["method", "epochs", "stage", "", *(f"IF {f:g}" for f in factors)], lines))
    return tables


def hardware_of(rows: Sequence[Row]) -> str:
    """Name all that the runs of some rows were trained on, with its precision."""
    on = {f"{run['environment']['device']} in {row.group.precision}" for row in rows for run in row.runs}
    return ", ".join(sorted(on))


def in_groups(rows: Sequence[Row]) -> Table:
    """List the rows with every metric, head, medium and tail among them."""
    head = ["data", "IF", "method", "epochs", "network", "stage", *METRICS.values()]
    return Table("every metric", head, [[COLUMNS[name](row) for name in head] for row in rows])


def markdown_of(grid: Table) -> str:
    """Format as Markdown under its title."""
    table = [grid.head, ["---"] * len(grid.head), *grid.lines]
    return "\n".join([f"**{grid.title}**", "", *(f"| {' | '.join(line)} |" for line in table)])


def latex_of(grid: Table) -> str:
    """Format as LaTeX for booktabs, the title a comment."""
    wrong = {"_": r"\_", "±": r"$\pm$", "%": r"\%", "&": r"\&"}

    def escaped(text: str) -> str:
        return "".join(wrong.get(letter, letter) for letter in text)

    lines = [" & ".join(map(escaped, line)) + r" \\" for line in [grid.head, *grid.lines]]
    columns = "".join("l" if i < len(grid.head) - 1 else "c" for i in range(len(grid.head)))
    start = [f"% {grid.title}; percent", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule"]
    return "\n".join([*start, *lines[1:], r"\bottomrule", r"\end{tabular}"])


def csv_of(tables: Sequence[Table]) -> str:
    """Format all of them as CSV, each under its title."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for grid in tables:
        writer.writerows([[grid.title], grid.head, *grid.lines])
    return text.getvalue()


def _ours(row: Row) -> str:
    return f"{show(row.values['acc'], True)} / {show(row.values['ece'], True)} ({len(row.runs)})"


def numbers(known: Published) -> str:
    """Format a published accuracy / ECE."""
    return " / ".join(f"{v:.2f}" if v is not None else "-" for v in (known.acc, known.ece))


def _difference(row: Row) -> str:
    both = zip(differences(row, "acc"), differences(row, "ece"), strict=True)
    return " ; ".join(" / ".join(pair) for pair in both) or "-"
