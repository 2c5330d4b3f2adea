"""How often sets have the true class, and how large they are."""

from collections.abc import Mapping
from typing import Any

import torch
from scipy.stats import binomtest
from torch import Tensor

UNDER = 0.1  # a class that is covered by that much less than promised is said to be under-covered


def coverage(sets: Tensor, targets: Tensor, groups: Mapping[str, list[int]], alpha: float) -> dict[str, Any]:
    """Compute the share of sets with the true class: of all images, of groups, of each class, and of classes averaged.

    Args:
        sets: (N, K) bool, N >= 1.
        targets: (N,) int64.
        groups: Classes of head, medium and tail, by true class.
        alpha: What was promised is 1 - alpha.

    Returns:
        ``"marginal"``, ``"groups"`` and ``"classes"`` of ``{"coverage", "low", "high", "images"}`` with Clopper and
        Pearson's 95 % interval (None without an image), ``"macro"``, the mean over classes with an image, ``"size"``,
        the mean one, ``"empty"``, the share of empty sets, and ``"under_covered"``, the share of classes whose coverage
        is below 1 - alpha - 0.1.
    """
    hit = sets.gather(1, targets[:, None])[:, 0]
    classes = [_share(hit[targets == c]) for c in range(sets.shape[1])]
    shares = [about["coverage"] for about in classes if about is not None]
    return {
        "marginal": _share(hit),
        "macro": sum(shares) / len(shares),
        "groups": {name: _share(hit[torch.isin(targets, torch.tensor(of))]) for name, of in groups.items()},
        "classes": classes,
        "size": float(sets.sum(1).double().mean()),
        "empty": float((~sets.any(1)).double().mean()),
        "under_covered": sum(share < 1 - alpha - UNDER for share in shares) / len(shares),
    }


def _share(hit: Tensor) -> dict[str, Any] | None:
    if not len(hit):
        return None
    found = binomtest(int(hit.sum()), len(hit))
    low, high = found.proportion_ci(0.95, "exact")
    return {"coverage": float(hit.double().mean()), "low": float(low), "high": float(high), "images": len(hit)}


def in_short(found: Mapping[str, Any]) -> str:
    """Say the last stage's sets, the first kind of them, in a sentence.

    Args:
        found: ``conformal`` of results.json.
    """
    method, about = next(iter(found[max(stage for stage in found if stage.startswith("stage"))].items()))
    return (
        f"In short: instead of one answer, each image gets a list of {about['size']:.1f} classes on average "
        f"({method}), and the right one is on it for {100 * about['marginal']['coverage']:.0f} of 100 test images."
    )
