"""A sheet of training images as the network sees them."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor

from lt_calib.figure.style import style

COLUMNS = 8


def picture_sheet(images: Tensor, targets: Tensor, class_names: Sequence[str], title: str) -> Figure:
    """Draw images with their target below: the class, or the shares of two where labels are mixed.

    Args:
        images: (B, H, W, 3) float in [0, 1].
        targets: (B, K) float, rows sum to 1.
        class_names: K names.
        title: Above.
    """
    rows = -(-len(images) // COLUMNS)
    with style():
        figure = Figure(figsize=(1.0 * COLUMNS, 1.28 * rows + 0.4))
        axes = figure.subplots(rows, COLUMNS, squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
        for axis, image, target in zip(axes.flat, images, targets, strict=False):
            axis.imshow(image.clamp(0, 1).numpy(), interpolation="nearest")
            share, classes = target.topk(min(2, len(target)))
            names = [f"{class_names[int(c)]} {float(s):.2f}" for s, c in zip(share, classes, strict=True) if s > 0.005]
            text = "\n".join(names) if len(names) > 1 else class_names[int(classes[0])]
            axis.text(0.5, -0.05, text, fontsize=6, ha="center", va="top", transform=axis.transAxes)
        figure.suptitle(title, fontsize=10)
        figure.subplots_adjust(wspace=0.08, hspace=0.42)
    return figure
