"""Tables as Markdown, LaTeX, CSV and HTML. What stands in a cell is plain text in each, whatever letters it has."""

import csv
import io
import re
from collections.abc import Container, Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import Any

import pandas as pd

from lt_calib.report.group import MEASURED, plain
from lt_calib.report.rows import Row, deviation
from lt_calib.report.table import Table, columns_of, overview

LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\textasciigrave{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$",
    **{letter: f"\\{letter}" for letter in "_%&#${}"},
    **{letter: f"{{{letter}}}" for letter in "[*"},  # behind the \\ of the line before they would be its argument
})  # fmt: skip


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*\[\]<>|~$&]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text)  # a _ inside of a word is one


def _code(text: str) -> str:
    return _markdown(text) if "`" in text or "\\" in text else "`" + text.replace("|", r"\|") + "`"


def _pipes(table: Table, rule: str, code: str | None = None) -> str:
    texts = [[_markdown(name) for name in table.head]]
    for i, line in enumerate(table.lines):
        cells = [_code(text) if table.head[j] == code else _markdown(text) for j, text in enumerate(line)]
        texts.append([f"**{text}**" if (i, j) in table.bold else text for j, text in enumerate(cells)])
    lines = [f"| {' | '.join(cells)} |" for cells in texts]
    return "\n".join([lines[0], rule * len(table.head) + "|", *lines[1:]])


def markdown(rows: Sequence[Row], without: Container[str] = ()) -> str:
    """Make a Markdown table; percent, but for the NLL (nats); ``without`` some of its columns."""
    columns = [name for name in columns_of(rows) if name not in without]
    return _pipes(overview(rows, columns), "|---", code="method")


def markdown_of(table: Table) -> str:
    """Format as Markdown under its title."""
    return f"**{_markdown(table.title)}**\n\n{_pipes(table, '| --- ')}"


def html_of(table: Table, links: Mapping[tuple[int, int], str] = MappingProxyType({})) -> str:
    """Format as HTML, in a box that scrolls; ``links`` of cells, by line and column, are where they lead, as HTML."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.head)
    body = ""
    for i, line in enumerate(table.lines):
        cells = [f"<b>{escape(text)}</b>" if (i, j) in table.bold else escape(text) for j, text in enumerate(line)]
        cells = [links.get((i, j), cell) for j, cell in enumerate(cells)]
        body += f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def latex_of(table: Table) -> str:
    """Format as LaTeX for booktabs, the title a comment."""
    lines = [" & ".join(text.translate(LATEX) for text in line) + r" \\" for line in (table.head, *table.lines)]
    begin = rf"\begin{{tabular}}{{{'l' * (len(table.head) - 1)}c}}"
    return "\n".join([
        f"% {table.title}; percent", begin, r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule",
        r"\end{tabular}",
    ])  # fmt: skip


def csv_of(tables: Sequence[Table]) -> str:
    """Format all of them as CSV, each under its title."""
    text = io.StringIO()
    for table in tables:
        csv.writer(text, lineterminator="\n").writerows([[table.title], table.head, *table.lines])
    return text.getvalue()


def comma_separated(rows: Sequence[Row]) -> str:
    """Make CSV with one number a cell: mean and standard deviation of every metric, fractions; n = seeds."""
    about = ("dataset", "imbalance_factor", "val_per_class", "method", "epochs", "network", "precision", "variant")
    theirs = ("published_source", "published_acc_percent", "published_ece_percent")  # the first; the others: report.md
    lines = []
    for row in rows:
        line: dict[str, Any] = {name: plain(getattr(row.group, name)) for name in about}
        line |= {"hardware": plain(row.hardware), "stage": row.stage, "n": len(row.runs)}
        for metric in MEASURED:
            line |= {metric: row.mean(metric), f"{metric}_sd": deviation(row.over_seeds(metric))}
        known = row.published[0][:3] if row.published else (None, None, None)
        lines.append(line | dict(zip(theirs, known, strict=True)))
    return pd.DataFrame(lines).to_csv(index=False, lineterminator="\n")
