"""Accuracy and confidence of each class against its training images."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from lt_calib.figure.style import BLUE, GREY, RED, plain_ticks, short, style

MOST_NAMED = 12  # classes whose names fit below their points


def accuracy_by_frequency(
    stages: Mapping[str, Mapping[str, Sequence[Any]]],
    class_counts: Sequence[int],
    title: str,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Draw for each class a point at its accuracy and one at its mean confidence, over its training images.

    Args:
        stages: Name -> the table of :func:`lt_calib.measure.per_class.per_class`, fractions.
        class_counts: (K,) training images a class.
        title: Above all.
        class_names: K names, which stand below the points where they are few.
    """
    named = class_names if class_names and len(class_names) <= MOST_NAMED else ()
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
            for count in sorted({class_counts[c] for c in kept} if named else ()):
                names = ", ".join(short(named[c]) for c in kept if class_counts[c] == count)
                axis.annotate(
                    names, (count, 0), (0, 3), textcoords="offset points", rotation=90, ha="center", va="bottom",
                    fontsize=6, color=GREY,
                )  # fmt: skip
            axis.set_title(name, fontsize=9)
            axis.set(xscale="log", xlabel="training images of the class", ylim=(0, 103))
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
            plain_ticks(axis.xaxis)
        axes[0].set_ylabel("test images of the class (%)")
        axes[0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, fontsize=8)
        figure.suptitle(title, fontsize=10, y=0.97, va="bottom")
    return figure
