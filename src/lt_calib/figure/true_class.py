"""Histograms of the probability of the true class, by group."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from lt_calib.figure.style import COLOURS, style

BINS = 20


def true_class_histograms(
    models: Mapping[str, tuple[Tensor, Tensor]], groups: Mapping[str, list[int]], title: str
) -> Figure:
    """Draw how the probability of the true class is spread, head, medium and tail side by side, model over model.

    Args:
        models: Name -> (probs (N, K), targets (N,)); two stages of a run, or several runs.
        groups: Classes of each group.
        title: Above all.
    """
    found = {name: (probs.gather(1, targets[:, None])[:, 0], targets) for name, (probs, targets) in models.items()}
    with style():
        figure = Figure(figsize=(2.9 * len(groups), 2.9))
        axes = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        handles: dict[str, Line2D] = {}
        for axis, (group, classes) in zip(axes, groups.items(), strict=True):
            for i, (name, (every, targets)) in enumerate(found.items()):
                own = every[torch.isin(targets, torch.tensor(classes, dtype=targets.dtype))]
                share = 100 * torch.histc(own.float(), BINS, 0.0, 1.0) / max(1, len(own))
                colour = COLOURS[i % len(COLOURS)]
                mean = f"{float(own.mean()):.2f}" if len(own) else "-"
                # The first is filled and the others are lines, so that each is seen behind the rest.
                look: Any = {"fill": True, "alpha": 0.35} if i == 0 else {"linewidth": 1.4}
                edges = np.linspace(0, 1, BINS + 1)
                axis.stairs(share.numpy(), edges, color=colour, label=mean, **look)
                handles[name] = Line2D([], [], color=colour, linewidth=1.4 if i else 6, alpha=None if i else 0.35)
            axis.set_title(group, fontsize=9)
            axis.set(xlabel="probability of the true class", xlim=(0, 1))
            axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            look = {"fontsize": 7, "title_fontsize": 7, "handlelength": 1, "columnspacing": 1}
            axis.legend(title="mean", loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=min(4, len(models)), **look)
        # The names once: below every panel, long ones would lie over each other.
        figure.legend(list(handles.values()), list(handles), fontsize=7, loc="center left", bbox_to_anchor=(0.91, 0.5))
        axes[0].set_ylabel("images (%)")
        figure.suptitle(title, fontsize=10, y=1.0, va="bottom")
        figure.subplots_adjust(wspace=0.1)
    return figure
