"""Reliability diagram."""

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from lt_calib.figure.style import BLUE, GREY, RED, style
from lt_calib.metric.ece import bin_sums, expected_calibration_error


def reliability(probs: Tensor, targets: Tensor, title: str, n_bins: int = 15) -> Figure:
    """Draw the accuracy of each confidence bin, its gap to the confidence, and the bin counts below.

    Args:
        probs: (N, K) float, rows sum to 1.
        targets: (N,) int64.
        title: Above the diagram.
        n_bins: >= 1, equal widths.
    """
    bins = bin_sums(probs, targets, n_bins)
    count, gap = bins.count.numpy(), bins.gap.numpy()
    accuracy = bins.correct.numpy() / np.maximum(count, 1)
    ece = float(expected_calibration_error(probs, targets, n_bins))
    width = 1 / n_bins
    centre = (np.arange(n_bins) + 0.5) * width
    filled = count > 0
    with style():
        figure = Figure(figsize=(3.6, 4.6))
        above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1], "hspace": 0.08})
        above.bar(centre, accuracy, width, color=BLUE, edgecolor="white", linewidth=0.6, label="accuracy")
        above.bar(
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
        above.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="calibrated")
        above.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy", title=title)
        box = {"facecolor": "white", "edgecolor": GREY, "linewidth": 0.6}
        above.text(0.96, 0.06, f"ECE {100 * ece:.2f} %", ha="right", bbox=box, transform=above.transAxes)
        above.legend(loc="upper left", fontsize=8)
        below.bar(centre, count, width, color=GREY, edgecolor="white", linewidth=0.6, label="pictures")
        below.set(xlabel="confidence", ylabel="pictures", yscale="log", ylim=(0.7, None))
    return figure
