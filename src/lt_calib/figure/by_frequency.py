"""Accuracy and confidence of each class against its training images."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from lt_calib.figure.style import BLUE, GREY, RED, plain_ticks, style


def accuracy_by_frequency(
    stages: Mapping[str, Mapping[str, Sequence[Any]]], class_counts: Sequence[int], title: str
) -> Figure:
    """Draw for each class a point at its accuracy and one at its mean confidence, over its training images.

    Args:
        stages: Name -> the table of :func:`lt_calib.measure.per_class.per_class`, fractions.
        class_counts: (K,) training images a class.
        title: Above all.
    """
    with style():
        figure = Figure(figsize=(3.6 * len(stages), 3.2))
        axes = figure.subplots(1, len(stages), sharey=True, squeeze=False)[0]
        for axis, (name, table) in zip(axes, stages.items(), strict=True):
            kept = [c for c, acc in enumerate(table["acc"]) if acc is not None]
            x = [class_counts[c] for c in kept]
            accuracy = [100 * table["acc"][c] for c in kept]
            confidence = [100 * table["confidence"][c] for c in kept]
            axis.vlines(x, accuracy, confidence, color=GREY, linewidth=0.6, alpha=0.6)
            axis.scatter(x, accuracy, s=16, color=BLUE, label="accuracy", zorder=3)
            axis.scatter(x, confidence, s=16, facecolor="none", edgecolor=RED, label="confidence", zorder=3)
            axis.set_title(name, fontsize=9)
            axis.set(xscale="log", xlabel="training images of the class", ylim=(0, 103))
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
            plain_ticks(axis.xaxis)
        axes[0].set_ylabel("test images of the class (%)")
        axes[0].legend(loc="lower right", fontsize=8)
        figure.suptitle(title, fontsize=10, y=0.97, va="bottom")
    return figure
