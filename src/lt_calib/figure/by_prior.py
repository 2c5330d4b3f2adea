"""Accuracy, ECE and NLL from a test set whose classes are reversed to one that is long-tailed as the training set."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lt_calib.figure.style import COLOURS, GREY, style

SHOWN = {"acc": "accuracy (%)", "ece": "ECE (%)", "nll": "NLL (nats)"}
Curve = Sequence[Mapping[str, float]]


def by_prior(curves: Mapping[str, tuple[Curve, Curve]], priors: Sequence[str], title: str) -> Figure:
    """Draw a panel per metric: dashed what a model predicts by itself, solid what it does when told the prior.

    Args:
        curves: Name of the model -> metrics at each prior, its own and adjusted; fractions and nats.
        priors: Names along the axis.
        title: Above all.
    """
    with style():
        figure = Figure(figsize=(9.6, 3.2))
        axes = figure.subplots(1, len(SHOWN))
        for axis, (metric, label) in zip(axes, SHOWN.items(), strict=True):
            percent = 1 if metric == "nll" else 100
            for i, pair in enumerate(curves.values()):
                for curve, line in zip(pair, ("--", "-"), strict=True):
                    values = [percent * at[metric] for at in curve]
                    axis.plot(values, line, color=COLOURS[i % len(COLOURS)], marker="o", markersize=2.5, linewidth=1.2)
            axis.set_xticks(range(len(priors)), priors, rotation=60, ha="right", rotation_mode="anchor", fontsize=7)
            axis.set_ylabel(label)
            axis.set_ylim(bottom=0 if metric == "ece" else None)
            axis.axvline(priors.index("uniform"), color=GREY, linewidth=0.5, zorder=0)
        figure.suptitle(title, fontsize=10)
        names = [Line2D([], [], color=COLOURS[i % len(COLOURS)], label=name) for i, name in enumerate(curves)]
        kinds = [
            Line2D([], [], color=GREY, linestyle="--", label="its own predictions"),
            Line2D([], [], color=GREY, linestyle="-", label="told the prior"),
        ]
        figure.legend(handles=[*names, *kinds], fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 0.9))
        figure.tight_layout()
    return figure
