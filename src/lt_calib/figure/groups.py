"""Accuracy and ECE of head, medium and tail, stage beside stage."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from lt_calib.dataset.long_tail import GROUP_NAMES
from lt_calib.figure.style import BLUE, ORANGE, style

SHOWN = {"acc": "accuracy (%)", "ece": "ECE (%)"}


def group_bars(stages: Mapping[str, Mapping[str, Any]], title: str) -> Figure:
    """Draw one bar for each group and stage, accuracy on the left and ECE on the right, as far as they are measured.

    Args:
        stages: Stage's name -> its test metrics (fractions); a group that is None gets no bar.
        title: Above both.

    Raises:
        ValueError: neither is measured.
    """
    measured = {key for values in stages.values() for key in values}
    shown = {m: label for m, label in SHOWN.items() if any(f"{m}_{group}" in measured for group in GROUP_NAMES)}
    width = 0.8 / max(1, len(stages))
    if not shown:
        raise ValueError(f"none of {', '.join(SHOWN)} is measured of any stage")
    with style():
        figure = Figure(figsize=(3.2 * len(shown), 2.8))
        axes = figure.subplots(1, len(shown), squeeze=False)[0]
        for axis, (metric, label) in zip(axes, shown.items(), strict=True):
            for i, ((name, values), colour) in enumerate(zip(stages.items(), (BLUE, ORANGE), strict=False)):
                heights = [values.get(f"{metric}_{group}") for group in GROUP_NAMES]
                places = [x for x, h in enumerate(heights) if h is not None]
                bars = axis.bar(
                    [x + (i - (len(stages) - 1) / 2) * width for x in places],
                    [100 * h for h in heights if h is not None],
                    width,
                    color=colour,
                    label=name,
                )
                axis.bar_label(bars, fmt="%.1f", fontsize=7, padding=1)
            axis.set_xticks(range(len(GROUP_NAMES)), GROUP_NAMES)
            axis.set(ylabel=label, xlim=(-0.6, len(GROUP_NAMES) - 0.4))
            axis.margins(y=0.12)
        axes[0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, fontsize=8)
        figure.suptitle(title, fontsize=10)
        figure.subplots_adjust(wspace=0.3)
    return figure
