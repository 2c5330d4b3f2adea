"""Accuracy and ECE of head, medium and tail, stage beside stage."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from lt_calib.dataset.long_tail import GROUP_NAMES
from lt_calib.figure.style import BLUE, ORANGE, style


def group_bars(stages: Mapping[str, Mapping[str, Any]], title: str) -> Figure:
    """Draw one bar for each group and stage, accuracy on the left and ECE on the right.

    Args:
        stages: Stage's name -> its test metrics (fractions); a group that is None gets no bar.
        title: Above both.
    """
    width = 0.8 / max(1, len(stages))
    with style():
        figure = Figure(figsize=(6.4, 2.8))
        axes = figure.subplots(1, 2)
        for axis, metric, label in zip(axes, ("acc", "ece"), ("accuracy (%)", "ECE (%)"), strict=True):
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
            axis.set_ylabel(label)
            axis.margins(y=0.12)
        axes[0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, fontsize=8)
        figure.suptitle(title, fontsize=10)
        figure.subplots_adjust(wspace=0.3)
    return figure
