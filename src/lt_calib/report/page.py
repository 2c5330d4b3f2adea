"""One self-contained HTML page: sortable tables and the figures inside, without a network.

The figures are embedded, so that the page is one file that can be sent or moved alone.
"""

import base64
import os
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from lt_calib.report.columns import Column, by_setting
from lt_calib.report.formats import html_of
from lt_calib.report.group import plain
from lt_calib.report.in_words import in_words
from lt_calib.report.rows import Row
from lt_calib.report.screen import caption
from lt_calib.report.table import Table, overview
from lt_calib.report.table import columns_of as every_column

NAME = "report.html"
STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --faint: #555; --rule: #ddd; --link: #0060a0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e4e4; --paper: #17191c; --faint: #a8adb3; --rule: #3a3f45; --link: #7cc0f2; }
  img { border-radius: 4px; }
}
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 74rem; padding: 0 1rem;
  color: var(--ink); background: var(--paper); }
a { color: var(--link); } h1 { margin-bottom: .3rem; } h2 { margin-top: 2rem; font-size: 1.2rem; }
.lead { font-size: 1.1rem; max-width: 60rem; } .note, figcaption { font-size: 13px; color: var(--faint); }
table { border-collapse: collapse; font-size: 14px; margin: .5rem 0; }
th, td { padding: .3rem .7rem; text-align: left; border-bottom: 1px solid var(--rule); white-space: nowrap; }
td:first-child { white-space: normal; min-width: 12rem; }
th { cursor: pointer; border-bottom: 2px solid var(--faint); user-select: none; }
th[aria-sort=ascending]::after { content: " \\25B2"; } th[aria-sort=descending]::after { content: " \\25BC"; }
td { font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; } figure { display: inline-block; margin: .5rem .8rem .5rem 0; vertical-align: top; }
figure { max-width: min(100%, 35rem); } figure.wide { max-width: 100%; } img { max-width: 100%; background: #fff; }
summary { cursor: pointer; font-weight: 600; margin-top: 1rem; }
"""
SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  table.querySelectorAll("th").forEach((head, column) => head.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const text = row => row.cells[column].textContent;
    const number = row => parseFloat(text(row));
    const rows = [...table.tBodies[0].rows];
    const missing = row => text(row) === "-" || text(row) === "";
    const numeric = !rows.every(missing) && rows.every(row => !isNaN(number(row)) || missing(row));
    rows.sort((a, b) => {
      if (!numeric) return (up ? 1 : -1) * text(a).localeCompare(text(b));
      const x = number(a), y = number(b);
      return isNaN(x) ? 1 : isNaN(y) ? -1 : (up ? 1 : -1) * (x - y);
    });
    table.tBodies[0].append(...rows);
  }));
}
"""


def html_page(title: str, parts: Sequence[str]) -> str:
    """Write a page: its title and parts of HTML below each other."""
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{STYLE}</style></head>
<body>
<h1>{escape(title)}</h1>
{chr(10).join(filter(None, parts))}
<script>{SCRIPT}</script>
</body></html>
"""


def figure(path: Path, about: str = "", kind: str = "") -> str:
    """Embed a PNG; under it stands what it is about, or else its name. Of kind ``"wide"`` it may fill the page."""
    said = escape(plain(about or re.sub("^stage", "stage ", path.stem).replace("_", " ")))
    data = base64.b64encode(path.read_bytes()).decode()
    image = f'<img alt="{said}" src="data:image/png;base64,{data}">'
    return f'<figure class="{kind}">{image}<figcaption>{said}</figcaption></figure>'


def folded(title: str, *parts: str) -> str:
    """Fold parts away under a title; nothing without parts."""
    return f"<details><summary>{escape(title)}</summary>{''.join(parts)}</details>" if any(parts) else ""


def titled(tables: Sequence[Table]) -> list[str]:
    """Format tables under their titles."""
    return [f"<h2>{escape(table.title)}</h2>{html_of(table)}" for table in tables]


def items(texts: Sequence[str]) -> str:
    """Format a list; nothing where it is empty."""
    return f"<ul>{''.join(f'<li>{text}</li>' for text in texts)}</ul>" if texts else ""


def page(
    rows: Sequence[Row],
    columns: Sequence[Column],
    tables: Sequence[Table],
    figures: Sequence[Path],
    unfinished: Sequence[Path],
    where: str,
    folder: Path,
) -> str:
    """Write the page of many runs: what the numbers say, accuracy against ECE, and a table of each data set.

    Args:
        rows: Of all runs.
        columns: Of the tables.
        tables: Others, which are folded away.
        figures: PNGs that compare the runs.
        unfinished: Folders without results.
        where: What the numbers are of, ``"test set"``.
        folder: Where the page will lie, from which it leads to the pages of the runs.
    """
    settings = by_setting(rows)
    lead = [(f"On {title}: " if len(settings) > 1 else "") + in_words(mine) for title, mine in settings.items()]
    first = [path for path in figures if path.stem.endswith("accuracy_ece")]
    parts = [f'<p class="lead">{escape(plain(text))}</p>' for text, mine in zip(lead, settings.values(), strict=True)
             if in_words(mine)]  # fmt: skip
    parts += [figure(path, "accuracy against ECE: best is the lower right", "wide") for path in first]
    for title, mine in settings.items():
        parts.append(f"<h2>{escape(plain(title))}, {where}</h2>{_table(mine, columns, folder)}")
    parts.append(
        f'<p class="note">{escape(caption(columns, rows))}. Below its floor an ECE can rank nothing. Bold is what is '
        "better than every other of its data, backbone, schedule, stage and precision, by seed and by image (p &lt; "
        "0.05 each); of one seed, or without predictions.npz beside, nothing is. A seed leads to the page of its run; "
        "a click on a column's head sorts.</p>"
    )
    left = [f"<code>{escape(plain(path))}</code>" for path in unfinished]
    parts += ["<h2>Not finished</h2>" + items(left)] if left else []
    parts.append(folded("More figures", *(figure(path) for path in figures if path not in first)))
    parts.append(folded("Every column", html_of(overview(rows, every_column(rows)))))
    return html_page("lt_calib report", [*parts, folded("More tables", *titled(tables))])


def _table(rows: Sequence[Row], columns: Sequence[Column], folder: Path) -> str:
    bold = {(i, j) for i, row in enumerate(rows) for j, column in enumerate(columns) if column.metric in row.bold}
    lines = [[column.plain(row) for column in columns] for row in rows]
    links = {}
    for j in (j for j, column in enumerate(columns) if column.head == "seeds"):
        links |= {(i, j): " ".join(_link(run, folder) for run in row.runs) for i, row in enumerate(rows)}
    return html_of(Table("", [column.head for column in columns], lines, bold), links)


def _link(run: dict, folder: Path) -> str:
    path = run["folder"] / NAME
    if run["file"] != "results.json" or not path.is_file():
        return escape(str(run["seed"]))
    where = quote(Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix())
    return f'<a href="{where}">{escape(str(run["seed"]))}</a>'
