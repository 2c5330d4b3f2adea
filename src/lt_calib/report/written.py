"""What ``--out`` leaves: tables as Markdown, CSV and LaTeX, figures and a page."""

from collections.abc import Sequence
from pathlib import Path

from lt_calib.report.columns import Column
from lt_calib.report.formats import comma_separated, csv_of, markdown, markdown_of
from lt_calib.report.group import Run, plain
from lt_calib.report.latex import latex
from lt_calib.report.rows import Row
from lt_calib.report.table import Table

WHERE = {"test": "test set", "val": "held-out validation part"}


def write(
    folder: Path,
    runs: Sequence[Run],
    rows: Sequence[Row],
    columns: Sequence[Column],
    tables: Sequence[Table],
    open_jobs: Sequence[Path],
    split: str,
) -> None:
    """Write report.md, .csv, .tex and .html, report_by_factor.csv and the figures into ``folder``."""
    from lt_calib.report.figures import draw_comparisons
    from lt_calib.report.of_run import page_of_run
    from lt_calib.report.page import page

    folder.mkdir(parents=True, exist_ok=True)
    where = WHERE[split]
    drawn = draw_comparisons(rows, folder / "figures", split)
    alone = len(runs) == 1 and split == "test"
    texts = {
        "report.md": "\n\n".join([f"On the {where}:", markdown(rows), *map(markdown_of, tables)]) + "\n",
        "report.csv": comma_separated(rows),
        "report_by_factor.csv": csv_of(tables),
        "report.tex": latex(rows, columns, split, where),
        "report.html": page_of_run(runs[0]["folder"], runs[0], tables)
        if alone
        else page(rows, columns, tables, drawn, open_jobs, where, folder),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    print(f"written to {plain(folder)}: {', '.join(texts)}")
