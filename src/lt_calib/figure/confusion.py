"""The confusion matrix of head, medium and tail, and of single classes where they are few."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from lt_calib.figure.style import style

MOST_CLASSES = 20  # that a matrix shows one by one
LONGEST = 16  # characters of a class's name


def group_confusion(models: Mapping[str, tuple[Tensor, Tensor]], groups: Mapping[str, list[int]], title: str) -> Figure:
    """Draw which group the images of each group are predicted as, in percent of the true one, and its accuracy.

    Args:
        models: Name -> (probs (N, K), targets (N,)).
        groups: Classes of each group; a group without a image has an empty row.
        title: Above.
    """
    names = list(groups)
    with style():
        figure = Figure(figsize=(3.4 * len(models), 3.2))
        axes = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
        for axis, (name, (probs, targets)) in zip(axes, models.items(), strict=True):
            shares, right = confusion(probs, targets, groups)
            axis.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
            for i in range(len(names)):
                for j in range(len(names)):
                    text = "-" if shares[i, j].isnan() else f"{100 * shares[i, j]:.1f}"
                    if i == j and not shares[i, j].isnan():
                        text += f"\n({100 * right[i]:.1f} right)"
                    dark = bool(shares[i, j] > 0.55)
                    axis.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
            axis.set_xticks(range(len(names)), names)
            axis.set_yticks(range(len(names)), names)
            axis.set_title(name, fontsize=9)
            axis.set(xlabel="predicted group")
            axis.spines[:].set_visible(False)
        axes[0].set_ylabel("true group (% of its images)")
        figure.suptitle(title, fontsize=10, y=0.97, va="bottom")
    return figure


def class_confusion(models: Mapping[str, tuple[Tensor, Tensor]], class_names: Sequence[str], title: str) -> Figure:
    """Draw which class the images of each class are predicted as, in percent of the true one.

    Args:
        models: Name -> (probs (N, K), targets (N,)).
        class_names: K names, at most ``MOST_CLASSES``; of a class without an image the row is empty.
        title: Above.
    """
    k = len(class_names)
    shown = [name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}..." for name in class_names]
    side = max(2.6, 0.34 * k)
    with style():
        figure = Figure(figsize=((side + 0.3) * len(models) + 0.9, side + 0.9))
        axes = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
        for axis, (name, (probs, targets)) in zip(axes, models.items(), strict=True):
            shares, _ = confusion(probs, targets, {str(c): [c] for c in range(k)})
            axis.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
            for i, j in (shares.nan_to_num() >= 0.005).nonzero().tolist():
                dark = bool(shares[i, j] > 0.55)
                text = f"{100 * shares[i, j]:.0f}"
                axis.text(j, i, text, ha="center", va="center", fontsize=6, color="white" if dark else "black")
            axis.set_xticks(range(k), shown, rotation=90, fontsize=7)
            axis.set_yticks(range(k), shown, fontsize=7)
            axis.set_title(name, fontsize=9)
            axis.set(xlabel="predicted class")
            axis.spines[:].set_visible(False)
        axes[0].set_ylabel("true class (% of its images)")
        figure.suptitle(title, fontsize=10, y=0.97, va="bottom")
    return figure


def confusion(probs: Tensor, targets: Tensor, groups: Mapping[str, list[int]]) -> tuple[Tensor, Tensor]:
    """Compute the shares of each true group predicted as each group, (G, G), and the accuracy of each, (G,).

    NaN where a group has no image.
    """
    group = torch.full((probs.shape[1],), -1)
    for i, classes in enumerate(groups.values()):
        group[classes] = i
    true, predicted = group[targets], group[probs.argmax(dim=1)]
    g = len(groups)
    counts = torch.bincount(true * g + predicted, minlength=g * g).reshape(g, g).double()
    total = counts.sum(1)
    right = torch.bincount(true[probs.argmax(dim=1) == targets], minlength=g).double()
    return counts / total[:, None], right / total
