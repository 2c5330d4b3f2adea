"""Training pictures of each class."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from lt_calib.figure.style import GROUP_COLOURS, style


def class_count_bars(class_counts: Sequence[int], groups: Mapping[str, list[int]], title: str) -> Figure:
    """Draw a bar a class in label order, coloured by group, on a log scale.

    Args:
        class_counts: (K,) training pictures a class.
        groups: Classes of each group.
        title: Above.
    """
    with style():
        figure = Figure(figsize=(4.8, 2.6))
        axis = figure.subplots()
        for name, classes in groups.items():
            counts = [class_counts[c] for c in classes]
            label = f"{name}: {len(classes)} classes, {sum(counts)} pictures"
            axis.bar(classes, counts, 0.9, color=GROUP_COLOURS[name], label=label)
        axis.set(yscale="log", ylim=(0.7, None), xlabel="class", ylabel="training pictures", title=title)
        axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
