"""The picture of README.md: accuracy against ECE of every method, with the range that noise alone explains."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from lt_calib.figure.style import BLUE, GREEN, GREY, RED, plain_ticks, style
from lt_calib.report.rows import Row

KINDS = {"one stage": GREY, "two stages": BLUE, "AWABS": RED, "frozen network": GREEN}
SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
PLACES = [(r * x, r * y) for r in (6, 10, 15, 21, 28, 36, 45, 55, 66) for x, y in SIDES]  # points
FAR = 12


def kind(row: Row) -> str:
    """Say which of KINDS a row is."""
    method = row.group.method
    if method.startswith("frozen"):
        return "frozen network"
    return "one stage" if row.stage == "1" else "AWABS" if "awabs" in method else "two stages"


def name_of(row: Row) -> str:
    """Name a row by its experiment, and a stage 1 that others build on as such."""
    return f"{row.group.label}, stage 1" if row.stage == "1" and row.runs[0]["stage2"] else row.group.label


def draw(rows: Sequence[Row], title: str) -> Figure:
    """Draw every row at its ECE and accuracy; best is the upper left.

    Args:
        rows: Of one data set, at least one.
        title: Above.
    """
    with style():
        figure = Figure(figsize=(8.4, 4.8), layout="constrained")
        axis = figure.subplots()
        axis.set(
            title=title,
            xscale="log",
            xlabel="expected calibration error, ECE (%), log scale; lower is better",
            ylabel="accuracy (%)",
        )
        floor = 100 * max(row.mean("ece_floor_q95") for row in rows)
        axis.axvspan(0.01, floor, color="#E4E4E4", lw=0)
        axis.text(
            0.01, 0.5, "what a calibrated model scores, 95 of 100 times",
            transform=axis.transAxes, rotation=90, va="center", fontsize=8,
        )  # fmt: skip
        for name, color in KINDS.items():
            points = [(100 * row.mean("ece"), 100 * row.mean("acc")) for row in rows if kind(row) == name]
            if points:
                axis.scatter(*zip(*points, strict=True), s=26, color=color, label=name, zorder=3)
        axis.set_xlim(0.7, 2 * max(100 * row.mean("ece") for row in rows))
        axis.set_xticks([1, 2, 5, 10, 20])
        axis.margins(y=0.1)
        plain_ticks(axis.xaxis)
        axis.legend(loc="lower center", ncols=len(KINDS), fontsize=8, bbox_to_anchor=(0.5, 0))
        write_names(axis, rows)
    return figure


def write_names(axis: Axes, rows: Sequence[Row]) -> None:
    """Write each name beside its point, at the first of PLACES where it covers nothing, or the least."""
    axis.get_figure().draw_without_rendering()  # type: ignore[union-attr]
    points = [(100 * row.mean("ece"), 100 * row.mean("acc")) for row in rows]
    dots, frame = axis.transData.transform(points), axis.get_window_extent()
    taken = [axis.get_legend().get_window_extent()]  # type: ignore[union-attr]
    for row, point in sorted(zip(rows, points, strict=True), key=lambda one: -one[1][1]):
        costs: list[int] = []
        while 0 not in costs and len(costs) < len(PLACES):
            name = write(axis, row, point, PLACES[len(costs)])
            box = box_of(name)
            inside = frame.x0 < box.x0 and box.x1 < frame.x1 and frame.y0 < box.y0 and box.y1 < frame.y1
            costs.append(9 * (not inside) + box.count_overlaps(taken) + box.count_contains(dots))
            name.remove()
        taken.append(box_of(write(axis, row, point, PLACES[costs.index(min(costs))])))


def box_of(text: Annotation) -> Bbox:
    """Return where a name stands, without its line."""
    text.get_window_extent()  # moves it to its place
    return Text.get_window_extent(text)


def write(axis: Axes, row: Row, point: tuple[float, float], place: tuple[int, int]) -> Annotation:
    """Write a row's name so many points to the right of and above its point, with a line to it where it is far."""
    x, y = place
    color = KINDS[kind(row)]
    line = {"arrowstyle": "-", "color": color, "lw": 0.4, "shrinkA": 0, "shrinkB": 2}
    return axis.annotate(
        name_of(row),
        point,
        place,
        textcoords="offset points",
        fontsize=8,
        color=color,
        ha="left" if x > 0 else "right" if x < 0 else "center",
        va="bottom" if y > 0 else "top" if y < 0 else "center",
        arrowprops=line if abs(x) + abs(y) > FAR else None,
    )


def save(figure: Figure, path: Path) -> None:
    """Write a PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
