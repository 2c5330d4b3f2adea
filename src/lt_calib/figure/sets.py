"""Coverage of prediction sets against their size."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from lt_calib.figure.style import COLOURS, MARKERS, style


def coverage_against_size(methods: Mapping[str, Sequence[tuple[float, float, float]]]) -> Figure:
    """Draw what larger sets buy: coverage averaged over classes, and the share of classes that are left behind.

    Args:
        methods: Name -> mean size, macro coverage and share of under-covered classes, at one alpha after the other.
    """
    with style():
        figure = Figure(figsize=(7.6, 3.2))
        axes = figure.subplots(1, 2)
        for i, (name, points) in enumerate(methods.items()):
            size, macro, under = zip(*points, strict=True)
            look = {
                "color": COLOURS[i],
                "marker": MARKERS[i],
                "markersize": 4,
                "linestyle": ("-", "--", "-.", ":")[i % 4],
            }
            for axis, values in zip(axes, (macro, under), strict=True):
                axis.plot(size, [100 * v for v in values], label=name.replace("_", " "), **look)
        axes[0].set(xlabel="classes in a set, mean", ylabel="coverage, mean over classes (%)")
        axes[1].set(xlabel="classes in a set, mean", ylabel="classes 10 points under-covered (%)", ylim=(-2, None))
        axes[1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        figure.tight_layout()
    return figure
