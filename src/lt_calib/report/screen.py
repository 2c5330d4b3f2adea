"""Tables on the screen."""

from collections.abc import Sequence

from rich import get_console
from rich import table as rich
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.text import Text

from lt_calib.job.screen import print_whole
from lt_calib.report.columns import Column, by_setting
from lt_calib.report.group import METRICS, plain
from lt_calib.report.rows import Row
from lt_calib.report.table import Table

NARROW = (0, 1, 0, 0)  # above, right, below and left of each cell
WORD = 16  # letters of a text that are not folded, however narrow the screen is


def print_rows(rows: Sequence[Row], columns: Sequence[Column], where: str, console: Console | None = None) -> None:
    """Print a table of each data set, factor, network and length, a row a line; of several seeds the deviation below.

    Args:
        rows: Of all runs.
        columns: In their order.
        where: What the numbers are of, ``"test set"``.
        console: Where; None takes the process's own.
    """
    console = console or get_console()
    tables = by_setting(rows)
    for i, (title, mine) in enumerate(tables.items()):
        told = [caption(columns, mine)] if i == len(tables) - 1 else []
        table = rich.Table(title=Text(plain(f"{title}: {where}")), caption=Text(*told), box=SIMPLE_HEAD, padding=NARROW)
        widths = [_least(column, mine) for column in columns]
        room = console.width - sum(widths) - 2 * len(columns) - 1  # below 0 where the longest words are too long
        for column, width in zip(columns, widths, strict=True):
            if column.metric:
                table.add_column(column.head, justify="right", no_wrap=True, min_width=width)
            else:
                most = max(WORD, width + room) if room < 0 and width == max(widths) else None
                table.add_column(column.head, overflow="fold", max_width=most)
        for row in mine:
            styles = ["bold" if column.metric in row.bold else "" for column in columns]
            table.add_row(*(Text(_cell(c, row), style=s) for c, s in zip(columns, styles, strict=True)))
        print_whole(table, console)


def _least(column: Column, rows: Sequence[Row]) -> int:
    """Letters of a column's longest line, or of its longest word where it is a text."""
    texts = [column.head, *(_cell(column, row) for row in rows)]
    return max(len(part) for text in texts for part in (text.splitlines() if column.metric else text.split()))


def _cell(column: Column, row: Row) -> str:
    first = " ".join(filter(None, [plain(column.center(row)), column.floor(row)]))
    return "\n".join(filter(None, [first, column.spread(row)]))


def caption(columns: Sequence[Column], rows: Sequence[Row], brackets: bool = True) -> str:
    """Say what the numbers of a table are; ``brackets``: an ECE has its floor, and the best beyond noise is bold."""
    metrics = [column.metric for column in columns if column.metric]
    seeds = any(len(row.runs) > 1 for row in rows)
    groups = [METRICS[metric] for metric in metrics if metric.startswith("acc_") and metric in METRICS]
    said = [
        "percent" * any(column.percent() for column in columns if column.metric),
        "NLL in nats" * ("nll" in metrics),
        f"{', '.join(groups)}: accuracy" if groups else "",
        "in brackets: mean and 95 % quantile of the ECE of a calibrated model" * (brackets and "ece" in metrics),
        "±: standard deviation between seeds" * (seeds and bool(metrics)),
        "bold: best beyond noise" * (brackets and any(metric in row.bold for row in rows for metric in metrics)),
    ]
    return "; ".join(filter(None, said))


def print_table(table: Table, console: Console | None = None) -> None:
    """Print a table of texts under its title."""
    shown = rich.Table(title=Text(table.title), box=SIMPLE_HEAD, padding=NARROW)
    for name in table.head:
        shown.add_column(Text(name), overflow="fold")
    for line in table.lines:
        shown.add_row(*map(Text, line))
    print_whole(shown, console or get_console())
