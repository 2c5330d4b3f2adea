"""Accuracy, ECE and NLL over a grid of stage 2's settings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lt_calib.figure.style import RED, style

SHOWN = {
    "acc": ("accuracy (%)", 100.0, "viridis"),
    "ece": ("ECE (%)", 100.0, "viridis_r"),
    "nll": ("NLL", 1.0, "viridis_r"),
}


def grid_map(points: Sequence[Mapping[str, Any]], chosen: int, title: str) -> Figure:
    """Draw a map of each metric that was measured: two settings across and down, a column for each value of the others.

    Args:
        points: ``{"settings", "test"}`` of each point, of one that diverged without ``"test"``; the settings
            ``eps_head`` and ``eps_tail`` are the axes where they are there, else the first two.
        chosen: The run's result, framed.
        title: Above.
    """
    there = next(p["test"] for p in points if "test" in p)
    shown = {metric: how for metric, how in SHOWN.items() if metric in there}
    names = list(points[0]["settings"])
    axes = [n for n in ("eps_head", "eps_tail") if n in names]
    axes += [n for n in names if n not in axes][: 2 - len(axes)]
    across, down = axes[0], axes[1] if len(axes) > 1 else None
    rest = [n for n in names if n not in axes]
    panels = list(dict.fromkeys(tuple(p["settings"][n] for n in rest) for p in points))
    xs = sorted({p["settings"][across] for p in points}, key=_order)
    ys = sorted({p["settings"][down] for p in points}, key=_order) if down else [None]
    with style():
        size = (0.6 + 2.6 * len(panels), 0.5 + (0.9 + 0.45 * len(ys)) * len(shown))
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(shown), len(panels), squeeze=False)
        for row, (metric, (label, scale, colours)) in zip(grid, shown.items(), strict=True):
            every = [scale * p["test"][metric] for p in points if "test" in p]
            for axis, panel in zip(row, panels, strict=True):
                values, frame = np.full((len(ys), len(xs)), np.nan), None
                for k, point in enumerate(points):
                    s = point["settings"]
                    if tuple(s[n] for n in rest) == panel:
                        cell = ys.index(s[down]) if down else 0, xs.index(s[across])
                        values[cell] = scale * point["test"][metric] if "test" in point else np.nan
                        frame = cell if k == chosen else frame
                image = axis.imshow(
                    values, cmap=colours, vmin=min(every), vmax=max(every), origin="lower", aspect="auto"
                )
                for (i, j), value in np.ndenumerate(values):
                    if np.isfinite(value):
                        red, green, blue, _ = image.cmap(image.norm(value))
                        ink = "black" if 0.3 * red + 0.6 * green + 0.1 * blue > 0.5 else "white"
                        axis.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=6, color=ink)
                if frame is not None:
                    axis.add_patch(
                        Rectangle((frame[1] - 0.5, frame[0] - 0.5), 1, 1, fill=False, edgecolor=RED, linewidth=2)
                    )
                axis.set_xticks(range(len(xs)), [str(x) for x in xs])
                axis.set_yticks(range(len(ys)), [str(y) for y in ys] if down else [""])
                axis.set(xlabel=across, ylabel=down or "")
                about = ", ".join(str(v) for v in panel)
                axis.set_title(f"{label}{': ' if about else ''}{about}", fontsize=8)
        figure.suptitle(f"{title}\nframed: the run's result", fontsize=9)
    return figure


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value
