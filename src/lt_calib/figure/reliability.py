"""Reliability diagrams: of one model, of its groups, and of several models together."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from lt_calib.figure.style import COLOURS, GREY, MARKERS, PALE_BLUE, RED, plain_ticks, style
from lt_calib.measure.binning import N_BINS
from lt_calib.measure.bootstrap import binomial_interval
from lt_calib.metric.ece import Bins, bin_index, bin_sums, confidence_and_correct, sums_by_index
from lt_calib.metric.ece_floor import calibration_error_floor
from lt_calib.metric.smooth_ece import smooth_calibration_error

LEAST = 20  # images that a bin needs to be drawn as a point of a curve
PALEST = 0.2


def reliability(probs: Tensor, targets: Tensor, title: str, n_bins: int = N_BINS) -> Figure:
    """Draw the accuracy of each confidence bin, its gap to the confidence, and the bin counts below.

    The ECE stands in the corner with the floor that chance alone gives it, mean and 95 % quantile, and the smooth ECE.
    A bin's accuracy has its 95 % interval, and the fewer images it has, the paler it is.

    Args:
        probs: (N, K) float, rows sum to 1.
        targets: (N,) int64.
        title: Above the diagram.
        n_bins: >= 1, equal widths.
    """
    with style():
        figure = Figure(figsize=(3.8, 5.0))
        axes = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1], "hspace": 0.08})
        ece = _draw(axes[0], axes[1], bin_sums(probs, targets, n_bins))
        floor = calibration_error_floor(probs, targets, n_bins)
        chance = f"if calibrated: {100 * float(floor.mean):.1f}\n95 % below {100 * float(floor.q95):.1f}"
        smooth = 100 * float(smooth_calibration_error(probs, targets))
        _say(axes[0], f"ECE {ece:.2f} %\n{chance}\nsmooth ECE {smooth:.2f} %")
        axes[0].set(ylabel="accuracy", title=title)
        _legend_below(figure, axes[0])
        axes[1].set(xlabel="confidence", ylabel="images")
    return figure


def group_reliability(
    probs: Tensor,
    targets: Tensor,
    groups: Mapping[str, list[int]],
    title: str,
    n_bins: int = N_BINS,
    by_predicted: bool = False,
) -> Figure:
    """Draw the diagrams of head, medium and tail side by side; without an image one stays empty.

    By true class they have no noise floor: images that were selected by their true class are not calibrated even where
    the model is. A sure prediction of another class is always wrong among them. By predicted class a calibrated model
    looks calibrated.
    """
    confidence, correct = confidence_and_correct(probs, targets)
    of = probs.argmax(dim=1) if by_predicted else targets
    index = bin_index(confidence, n_bins)
    with style():
        figure = Figure(figsize=(2.9 * len(groups), 3.9))
        axes = figure.subplots(
            2,
            len(groups),
            sharex=True,
            sharey="row",
            gridspec_kw={"height_ratios": [3, 1], "hspace": 0.08, "wspace": 0.1},
        )
        for i, (name, classes) in enumerate(groups.items()):
            rows = torch.isin(of, torch.tensor(classes, dtype=of.dtype))
            number = f"{int(rows.sum())} predicted" if by_predicted else f"{int(rows.sum())} images"
            axes[0, i].set_title(f"{name}: {len(classes)} classes, {number}", fontsize=9)
            if bool(rows.any()):
                bins = sums_by_index(index[rows], confidence[rows], correct[rows], n_bins)
                ece = _draw(axes[0, i], axes[1, i], bins)
                _say(axes[0, i], f"ECE {ece:.2f} %")
            axes[1, i].set_xlabel("confidence")
            axes[1, i].set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])  # the neighbor's are near
        axes[0, 0].set_ylabel("accuracy")
        _legend_below(figure, *axes[0])
        axes[1, 0].set_ylabel("images")
        figure.suptitle(title, fontsize=10)
    return figure


def reliability_curves(models: Mapping[str, tuple[Tensor, Tensor]], title: str, n_bins: int = N_BINS) -> Figure:
    """Draw several models' accuracy minus confidence over the confidence; bins of fewer than 20 images are left out.

    Args:
        models: Name -> (probs (N, K), targets (N,)).
        title: Above the diagram.
        n_bins: >= 1, equal widths.
    """
    with style():
        figure = Figure(figsize=(5.2, 3.6))
        axis = figure.subplots()
        axis.axhline(0, color=GREY, linestyle="--", linewidth=1)
        handles, labels = [], []
        for i, (name, (probs, targets)) in enumerate(models.items()):
            bins = bin_sums(probs, targets, n_bins)
            kept = bins.count >= LEAST
            (line,) = axis.plot(
                (bins.confidence / bins.count.clamp(min=1))[kept].numpy(),
                100 * bins.gap[kept].numpy(),
                color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[i % len(MARKERS)],
                markersize=4,
                linewidth=1.2,
            )
            handles.append(line)
            labels.append(f"{name} (ECE {100 * float(bins.error):.2f} %)")
        axis.set(
            xlabel=f"confidence, {n_bins} bins; those of fewer than {LEAST} images are not drawn",
            ylabel="accuracy - confidence (points)\nbelow 0: over-confident",
            title=title,
            xlim=(0, 1),
        )
        axis.legend(handles, labels, fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _legend_below(figure: Figure, *axes: Any) -> None:
    found = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(
        list(found.values()), list(found), loc="upper center", bbox_to_anchor=(0.5, 0.01), ncols=3, fontsize=8
    )


def _say(axis: Any, text: str) -> None:
    box = {"facecolor": "white", "edgecolor": GREY, "linewidth": 0.6}
    axis.text(0.97, 0.04, text, ha="right", bbox=box, transform=axis.transAxes, fontsize=7, zorder=5)


def _draw(above: Any, below: Any, bins: Bins) -> float:
    n_bins = len(bins.count)
    count, gap = bins.count.numpy(), bins.gap.numpy()
    accuracy = bins.correct.numpy() / np.maximum(count, 1)
    width = 1 / n_bins
    centre = (np.arange(n_bins) + 0.5) * width
    filled = count > 0
    bars = above.bar(centre, accuracy, width, color=PALE_BLUE, edgecolor="white", linewidth=0.6, label="accuracy")
    gaps = above.bar(
        centre[filled],
        -gap[filled],
        width,
        bottom=accuracy[filled],
        facecolor="none",
        edgecolor=RED,
        hatch="////",
        linewidth=0.6,
        label="gap to confidence",
    )
    for bar, n in [*zip(bars, count, strict=True), *zip(gaps, count[filled], strict=True)]:
        bar.set_alpha(max(PALEST, (n / count.max()) ** 0.5) if n else None)  # three images are not as loud as 400
    hits = bins.correct.numpy()[filled]
    ends = [binomial_interval(int(k), int(n)) for k, n in zip(hits, count[filled], strict=True)]
    low, high = np.array(ends).T
    reach = np.abs(np.stack([accuracy[filled] - low, high - accuracy[filled]]))
    above.errorbar(
        centre[filled], accuracy[filled], reach, fmt="none", ecolor=GREY, elinewidth=0.9, capsize=1.5,
        label="95 % interval", zorder=3,
    )  # fmt: skip
    above.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1, label="calibrated", zorder=4)
    above.set(xlim=(0, 1), ylim=(0, 1))
    below.bar(centre, count, width, color=GREY, edgecolor="white", linewidth=0.6, label="images")
    below.set(yscale="log", ylim=(0.7, None))
    plain_ticks(below.yaxis)
    return 100 * float(bins.error)
