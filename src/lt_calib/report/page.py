"""One self-contained HTML page: sortable tables and the figures inside, without a network."""

import base64
from html import escape
from pathlib import Path

from lt_calib.report.formats import html_of
from lt_calib.report.group import plain
from lt_calib.report.rows import Row
from lt_calib.report.table import Table, columns_of, overview

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 78rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; font-size: 13px; margin: 1rem 0; }
th, td { padding: .3rem .6rem; text-align: left; border-bottom: 1px solid #ddd; white-space: nowrap; }
th { cursor: pointer; border-bottom: 2px solid #555; user-select: none; }
th[aria-sort=ascending]::after { content: " \\25B2"; } th[aria-sort=descending]::after { content: " \\25BC"; }
td { font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; } figure { display: inline-block; margin: .5rem; vertical-align: top; }
img { max-width: min(100%, 34rem); } figcaption { font-size: 12px; color: #555; }
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


def page(
    rows: list[Row], tables: list[Table], figures: list[tuple[str, Path]], unfinished: list[Path], split: str
) -> str:
    """Write the page.

    Args:
        rows: Of the table.
        tables: The same by imbalance factor.
        figures: Caption and path of each PNG.
        unfinished: Folders without results.
        split: What the numbers were measured on.
    """
    tables_of = html_of(overview(rows, columns_of(rows)))
    tables_of += "".join(f"<h2>{escape(table.title)}</h2>{html_of(table)}" for table in tables)
    pictures = "".join(
        f'<figure><img alt="{escape(plain(caption))}" src="data:image/png;base64,'
        f'{base64.b64encode(path.read_bytes()).decode()}"><figcaption>{escape(plain(caption))}</figcaption></figure>'
        for caption, path in figures
    )
    open_jobs = "".join(f"<li><code>{escape(plain(path))}</code></li>" for path in unfinished)
    what = "test set" if split == "test" else "held-out validation part"
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><title>lt_calib report</title><style>{STYLE}</style></head>
<body>
<h1>Results</h1>
<p>On the {what}. Percent, but for the NLL (nats); mean ± standard deviation (n - 1) over the seeds. Floor: mean and
95 % quantile of the ECE that a perfectly calibrated model would score on as many pictures; below it nothing can be
ranked.
Bold: best of its data, backbone, schedule, stage and precision, and better than every other beyond noise (paired by
seed and by picture, p &lt; 0.05 each; of one seed, or without predictions.npz beside, nothing is bold).
A click on a column's head sorts.</p>
{tables_of}
{f"<h2>Not finished</h2><ul>{open_jobs}</ul>" if unfinished else ""}
{f"<h2>Figures</h2>{pictures}" if figures else ""}
<script>{SCRIPT}</script>
</body></html>
"""
