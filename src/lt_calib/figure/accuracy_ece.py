"""Calibration against accuracy, a point a method."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from lt_calib.figure.style import COLOURS, MARKERS, style


def accuracy_against_ece(methods: Mapping[str, Sequence[tuple[float, float]]], title: str) -> Figure:
    """Draw every run at its accuracy and ECE, the runs of one method in one colour; best is the lower right.

    Args:
        methods: Name -> (accuracy, ECE) of each run, fractions.
        title: Above.
    """
    with style():
        figure = Figure(figsize=(4.6, 3.4))
        axis = figure.subplots()
        handles = []
        for i, points in enumerate(methods.values()):
            accuracy, ece = zip(*points, strict=True)
            shown = axis.scatter(
                [100 * a for a in accuracy],
                [100 * e for e in ece],
                s=22,
                color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[(i // len(COLOURS) + i) % len(MARKERS)],
            )
            handles.append(shown)
        axis.set(xlabel="accuracy (%)", ylabel="ECE (%)", title=title, ylim=(0, None))
        axis.legend(handles, list(methods), fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
