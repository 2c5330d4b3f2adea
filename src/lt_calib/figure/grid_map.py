"""Accuracy, ECE and NLL over a grid of stage 2's settings."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from lt_calib.figure.style import RED, style

SHOWN = {
    "acc": ("accuracy (%)", 100.0, "viridis"),
    "ece": ("ECE (%)", 100.0, "viridis_r"),
    "nll": ("NLL", 1.0, "viridis_r"),
}


PAGE = (7.4, 10.2)  # inches that the map may be wide and high
CELL = (0.34, 0.24)  # inches of a point, where there is room


def grid_map(points: Sequence[Mapping[str, Any]], chosen: int | None, title: str) -> Figure:
    """Draw a map of each metric that was measured: two settings across and down, a panel for each value of the others.

    The first point, the experiment's own settings, is told in the title where no other has its place on the axes.

    Args:
        points: ``{"settings", "test"}`` of each point, of one that diverged without ``"test"``; the settings
            ``eps_head`` and ``eps_tail`` are the axes where they are there, else the first two.
        chosen: The run's result, framed.
        title: Above.
    """
    shown = {metric: how for metric, how in SHOWN.items() if metric in next(p["test"] for p in points if "test" in p)}
    drawn, title = list(enumerate(points)), f"{title}\nframed: the run's result"
    if _off_the_grid(points):
        drawn, title = drawn[1:], f"{title}; not in the map: {_told(points[0], shown)}"
    names = list(points[0]["settings"])
    axes = [n for n in ("eps_head", "eps_tail") if n in names]
    axes += [n for n in names if n not in axes][: 2 - len(axes)]
    across, down = axes[0], axes[1] if len(axes) > 1 else None
    rest = [n for n in names if n not in axes]
    xs, ys = (sorted({p["settings"].get(axis) for _, p in drawn}, key=_order) for axis in (across, down))
    panels = list(dict.fromkeys(tuple(p["settings"][n] for n in rest) for _, p in drawn))
    columns = min(len(panels), max(1, int((PAGE[0] - 1) / max(1.5, CELL[0] * len(xs)))))
    lines = -(-len(panels) // columns)
    size = (
        min(PAGE[0], 1.6 + columns * max(1.5, CELL[0] * len(xs))),
        min(PAGE[1], 0.7 + len(shown) * lines * (0.5 + CELL[1] * max(2, len(ys))) + 0.3 * len(shown)),
    )
    with style():
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(shown) * lines, columns, squeeze=False, sharex=True, sharey=True)
        for block, (metric, (label, scale, colours)) in enumerate(shown.items()):
            every = [scale * p["test"][metric] for _, p in drawn if "test" in p]
            mine = grid[block * lines : (block + 1) * lines].ravel()
            for axis in mine[len(panels) :]:
                axis.axis("off")
            for place, (axis, panel) in enumerate(zip(mine, panels, strict=False)):
                values, frame = np.full((len(ys), len(xs)), np.nan), None
                for k, point in drawn:
                    s = point["settings"]
                    if tuple(s[n] for n in rest) == panel:
                        cell = ys.index(s.get(down)), xs.index(s[across])
                        values[cell] = scale * point["test"][metric] if "test" in point else np.nan
                        frame = cell if k == chosen else frame
                image = axis.imshow(
                    values, cmap=colours, vmin=min(every), vmax=max(every), origin="lower", aspect="auto"
                )
                _write(axis, values, image)
                if frame is not None:
                    axis.add_patch(
                        Rectangle((frame[1] - 0.5, frame[0] - 0.5), 1, 1, fill=False, edgecolor=RED, linewidth=2)
                    )
                axis.set_xticks(range(len(xs)), [str(x) for x in xs])
                axis.set_yticks(range(len(ys)), [str(y) for y in ys] if down else [""])
                lowest = block == len(shown) - 1 and place + columns >= len(panels)
                axis.tick_params(labelsize=7, labelbottom=lowest)
                axis.set_xlabel(across if lowest else "", fontsize=8)
                axis.set_ylabel((down or "") if place % columns == 0 else "", fontsize=8)
                about = ", ".join(f"{name} {value}" for name, value in zip(rest, panel, strict=True))
                axis.set_title("\n".join(filter(None, [label, about])), fontsize=7)
            bar = figure.colorbar(image, ax=mine.tolist(), aspect=12, pad=0.01)
            bar.set_label(label, fontsize=8)
            bar.ax.tick_params(labelsize=7)
        figure.suptitle("\n".join(fill(line, 20 + int(12 * size[0])) for line in title.splitlines()), fontsize=9)
    return figure


def _off_the_grid(points: Sequence[Mapping[str, Any]]) -> bool:
    own, others = points[0]["settings"], [p["settings"] for p in points[1:]]
    varied = [axis for axis in own if len({p["settings"][axis] for p in points}) > 1]
    return len(varied) > 1 and any(own[axis] not in {other[axis] for other in others} for axis in varied)


def _told(point: Mapping[str, Any], shown: Mapping[str, tuple[str, float, str]]) -> str:
    about = ", ".join(f"{name} {value}" for name, value in point["settings"].items())
    if "test" not in point:
        return f"{about}, which diverged"
    numbers = (f"{label.removesuffix(' (%)')} {k * point['test'][m]:.2f}" for m, (label, k, _) in shown.items())
    return f"the experiment's own {about} ({', '.join(numbers)})"


def _write(axis: Axes, values: np.ndarray, image: AxesImage) -> None:
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = image.cmap(image.norm(value))
            ink = "black" if 0.3 * red + 0.6 * green + 0.1 * blue > 0.5 else "white"
            axis.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=6, color=ink)


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value
