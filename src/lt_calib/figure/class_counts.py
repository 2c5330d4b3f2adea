"""Training images of each class."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from lt_calib.figure.style import GREY, GROUP_COLOURS, MOST_NAMED, name_ticks, plain_ticks, style


def class_count_bars(
    class_counts: Sequence[int],
    groups: Mapping[str, list[int]],
    title: str,
    resampled_counts: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Draw a bar a class in label order, coloured by group, on a log scale.

    Args:
        class_counts: (K,) training images a class.
        groups: Classes of each group.
        title: Above.
        resampled_counts: (K,) of a run that resamples the images, as an outline; the groups are by class_counts.
        class_names: K names, which stand below the bars where they can be read.
    """
    named = class_names is not None and len(class_names) <= MOST_NAMED
    with style():
        figure = Figure(figsize=(4.8, 2.6))
        axis = figure.subplots()
        for name, classes in groups.items():
            counts = [class_counts[c] for c in classes]
            label = f"{name}: {len(classes)} classes, {sum(counts)} images"
            axis.bar(classes, counts, 0.9, color=GROUP_COLOURS[name], label=label)
        if resampled_counts is not None:
            edges = [c - 0.5 for c in range(len(class_counts) + 1)]
            label = f"after resampling: {sum(resampled_counts)} images"
            axis.stairs(resampled_counts, edges, color=GREY, linewidth=1.2, label=label)
        axis.set(
            yscale="log",
            ylim=(0.7, None),
            xlim=(-0.8, len(class_counts) - 0.2),
            xlabel="" if named else "class",
            ylabel="training images",
            title=title,
        )
        if named and class_names is not None:
            name_ticks(axis, class_names)
        plain_ticks(axis.yaxis)
        axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
