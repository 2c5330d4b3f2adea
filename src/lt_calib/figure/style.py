"""One style for all figures: legible in print, and in colours that colour-blind readers tell apart."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

# Okabe and Ito's palette.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#666666"
PALE_BLUE = "#80B9D9"
COLOURS = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9", "#000000", "#F0E442")
MARKERS = "osD^vP*X"
MOST_NAMED = 40  # classes whose names fit below an axis
LONGEST_NAME = 18  # letters of a class name in a figure
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


def short(name: str) -> str:
    """Cut a class name to what a figure has room for."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def name_ticks(axis: Axes, class_names: Sequence[str]) -> None:
    """Put the classes' names below an axis, turned where they would run together otherwise."""
    names = [short(name) for name in class_names]
    turned = (max(map(len, names)) + 1) * len(names) > 64
    axis.set_xticks(range(len(names)), names, fontsize=7 if len(names) <= 20 else 5)
    if turned and len(names) > 20:
        axis.tick_params("x", rotation=90)
    elif turned:
        for label in axis.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")


def save(figure: Figure, path: Path) -> list[Path]:
    """Write ``path`` with the endings .png and .svg."""
    path.parent.mkdir(parents=True, exist_ok=True)
    paths = [path.with_suffix(ending) for ending in (".png", ".svg")]
    with style():
        for target in paths:
            figure.savefig(target, bbox_inches="tight")
    return paths
