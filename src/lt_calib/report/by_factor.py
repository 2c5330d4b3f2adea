"""Tables in the shape of the papers: a method's stage a line, an imbalance factor a column, accuracy / ECE in each."""

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from lt_calib.report.published import PUBLISHED_AS, Published, published_rows
from lt_calib.report.rows import METRICS, Row
from lt_calib.report.table import PUBLISHED_EPOCHS, cell, difference, show


@dataclass
class Grid:
    """One table: percent, accuracy / ECE a cell; under a line of ours the published one and the difference."""

    title: str
    head: list[str]
    lines: list[list[str]]


def by_factor(rows: Sequence[Row]) -> list[Grid]:
    """Arrange rows by imbalance factor; one table for each data set, validation part and length of stage 1.

    Of several results in one cell, from other hardware or settings, all are shown.
    """
    settings: dict[tuple[str, int, str], list[Row]] = defaultdict(list)
    for row in rows:
        settings[row.dataset, row.val_per_class, row.epochs.split(" ")[0]].append(row)
    grids = []
    for setting, mine in settings.items():
        factors = sorted({r.imbalance_factor for r in mine}, reverse=True)
        methods: dict[tuple[str, str, str], dict[float, list[Row]]] = defaultdict(lambda: defaultdict(list))
        for r in mine:
            methods[r.method, r.epochs, r.stage][r.imbalance_factor].append(r)
        lines = []
        for about, by in methods.items():
            lines.append([*about, "ours", *(" ; ".join(map(_ours, by[f])) or "-" for f in factors)])
            if any(r.published for found in by.values() for r in found):
                lines.append([*about, "published", *(_published(by[f]) for f in factors)])
                apart = [" ; ".join(map(_difference, by[f])) or "-" for f in factors]
                if set("".join(apart)) - set(" -/;"):  # after a shorter schedule there is no difference to tell
                    lines.append([*about, "difference", *apart])
        dataset, val, epochs = setting
        title = f"{dataset}, {f'{val} a class held out, ' if val else ''}{epochs} epochs of stage 1: accuracy / ECE"
        grids.append(Grid(title, ["method", "epochs", "stage", "", *(f"IF {f:g}" for f in factors)], lines))
    return grids


def not_run(rows: Sequence[Row]) -> list[Grid]:
    """List the published results that no run of the published length stands beside: our cells are empty.

    One table for each data set that the rows have.
    """
    full = [r for r in rows if int(r.epochs.split(" ")[0]) >= PUBLISHED_EPOCHS and not r.val_per_class]
    done = {(PUBLISHED_AS.get(r.method, r.method), r.dataset, r.imbalance_factor, f"stage{r.stage}") for r in full}
    grids = []
    for dataset in sorted({r.dataset for r in rows}):
        missing = {key: found[0] for key, found in published_rows().items() if key[1] == dataset and key not in done}
        factors = sorted({factor for _, _, factor, _ in missing}, reverse=True)
        lines = []
        for method, stage in dict.fromkeys((method, stage) for method, _, _, stage in missing):
            cells = [missing.get((method, dataset, factor, stage)) for factor in factors]
            lines.append([method, stage[-1], "ours", *("" if cell else "-" for cell in cells)])
            lines.append([method, stage[-1], "published", *map(_numbers, cells)])
        if lines:
            head = ["method", "stage", "", *(f"IF {f:g}" for f in factors)]
            grids.append(Grid(f"{dataset}: published, and not run here at its length; accuracy / ECE", head, lines))
    return grids


def in_groups(rows: Sequence[Row]) -> Grid:
    """List the rows with every metric, head, medium and tail among them."""
    lines = [
        [r.dataset, f"{r.imbalance_factor:g}", r.method, r.epochs, r.stage, *(cell(r, m) for m in METRICS)]
        for r in rows
    ]
    return Grid("every metric", ["data", "IF", "method", "epochs", "stage", *METRICS.values()], lines)


def markdown_of(grid: Grid) -> str:
    """Format as Markdown under its title."""
    table = [grid.head, ["---"] * len(grid.head), *grid.lines]
    return "\n".join([f"**{grid.title}**", "", *(f"| {' | '.join(line)} |" for line in table)])


def latex_of(grid: Grid) -> str:
    """Format as LaTeX for booktabs, the title a comment."""
    wrong = {"_": r"\_", "±": r"$\pm$", "%": r"\%", "&": r"\&"}

    def escaped(text: str) -> str:
        return "".join(wrong.get(letter, letter) for letter in text)

    lines = [" & ".join(map(escaped, line)) + r" \\" for line in [grid.head, *grid.lines]]
    columns = "".join("l" if i < len(grid.head) - 1 else "c" for i in range(len(grid.head)))
    start = [f"% {grid.title}; percent", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule"]
    return "\n".join([*start, *lines[1:], r"\bottomrule", r"\end{tabular}"])


def csv_of(grids: Sequence[Grid]) -> str:
    """Format all of them as CSV, each under its title."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for grid in grids:
        writer.writerows([[grid.title], grid.head, *grid.lines])
    return text.getvalue()


def _ours(row: Row) -> str:
    return f"{show(row.values['acc'], True)} / {show(row.values['ece'], True)}"


def _published(rows: Sequence[Row]) -> str:
    return _numbers(next((r.published for r in rows if r.published), None))


def _numbers(known: Published | None) -> str:
    return " / ".join(f"{v:.2f}" if v is not None else "-" for v in (known.acc, known.ece)) if known else "-"


def _difference(row: Row) -> str:
    return f"{difference(row, 'acc')} / {difference(row, 'ece')}"
