"""LaTeX tables that fit a page."""

from collections.abc import Sequence

from lt_calib.report.columns import Column, by_setting
from lt_calib.report.formats import LATEX
from lt_calib.report.group import plain
from lt_calib.report.rows import Row
from lt_calib.report.screen import caption
from lt_calib.report.ties import best_of

LONG = 20  # letters of a text that is wrapped, in a fifth of the page
TEMPLATE = r"""\begin{table}[t]
\centering
\footnotesize
\setlength{\tabcolsep}{2pt}
\caption{%s}
\begin{tabular}{%s}
\toprule
%s
\bottomrule
\end{tabular}
\end{table}"""


def latex(rows: Sequence[Row], columns: Sequence[Column], split: str, where: str) -> str:
    r"""Write a table of each data set, factor, network and length: mean and standard deviation of each metric.

    In bold are the best and what does not lie beyond noise of it, see :func:`lt_calib.report.ties.best_of`.

    Args:
        rows: Of all runs.
        columns: In their order; an ECE stands without its floor, whose column is ``ece_floor_q95``.
        split: ``"test"`` or ``"val"``.
        where: The same for readers.
    """
    parts = [r"% needs \usepackage{booktabs}"]
    every = columns
    for title, mine in by_setting(rows).items():
        seeds = {len(row.runs) for row in mine}
        columns = [c for c in every if c.head != "seeds" or len(seeds) > 1]
        counted = f"; {seeds.pop()} seeds" * (len(columns) < len(every))
        best = {column.metric: best_of(mine, column.metric, split) for column in columns if column.metric}
        texts = {c: [(_number if c.metric else _text)(c.plain(row, floor=False)) for row in mine] for c in columns}
        wide = {c for c in columns if not c.metric and max(len(c.plain(row)) for row in mine) > LONG}
        layout = "".join("r" if c.metric else r"p{0.19\linewidth}" if c in wide else "l" for c in columns)
        lines = [" & ".join(_text(column.head.replace(" (floor)", "")) for column in columns) + r" \\", r"\midrule"]
        for i, row in enumerate(mine):
            cells = [_cell(texts[c][i], row in best.get(c.metric, ()), c in wide) for c in columns]
            lines.append(" & ".join(cells) + r" \\")
        bold = "; bold: the best, and what is not beyond noise of it" * any(best.values())
        about = _text(f"{title}, {where}: {caption(columns, mine, brackets=False)}{counted}{bold}.")
        parts.append(TEMPLATE % (about, layout, "\n".join(lines)))
    return "\n\n".join(parts) + "\n"


def _cell(text: str, bold: bool, wide: bool) -> str:
    return rf"\raggedright {text}" if wide else rf"\textbf{{{text}}}" if bold else text


def _number(text: str) -> str:
    """Write the deviation small, or five columns are wider than a page."""
    mean, _, deviation = _text(text).partition(r" $\pm$ ")
    return rf"{mean} {{\tiny$\pm${deviation}}}" if deviation else mean


def _text(text: str) -> str:
    return plain(text).translate(LATEX)
