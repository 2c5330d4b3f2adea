"""One style for all figures: legible in print, and in colours that colour-blind readers tell apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

# Okabe and Ito's palette.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#666666"
PALE_BLUE = "#80B9D9"
COLOURS = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9", "#000000", "#F0E442")
MARKERS = "osD^vP*X"
GROUP_COLOURS = {"head": BLUE, "medium": GREEN, "tail": RED}


@contextmanager
def style() -> Iterator[None]:
    """Apply the style inside the block only."""
    with matplotlib.rc_context(
        {
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "savefig.dpi": 150,
            "svg.fonttype": "none",
            "text.parse_math": False,  # a name is what it says: "cost $a_{$ b" is no formula
        }
    ):
        yield


def plain_ticks(axis: Axis) -> None:
    """Label a logarithmic axis by plain numbers, in the place of formulas."""
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def save(figure: Figure, path: Path) -> list[Path]:
    """Write ``path`` with the endings .png and .svg."""
    path.parent.mkdir(parents=True, exist_ok=True)
    paths = [path.with_suffix(ending) for ending in (".png", ".svg")]
    with style():
        for target in paths:
            figure.savefig(target, bbox_inches="tight")
    return paths
