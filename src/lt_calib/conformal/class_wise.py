"""A threshold for each class."""

import torch
from torch import Tensor

from lt_calib.conformal.base import SetRule, check_alpha, own_scores, quantile, rank_of


def class_wise(logits: Tensor, targets: Tensor, alpha: float, prior: Tensor | None = None) -> SetRule:
    """Fit sets {y: softmax(z)_y >= t_y} that have the true class with probability >= 1 - alpha, in every class.

    -t_y is the conformal quantile of -softmax(z)_y over class y's own held-out images. A class of fewer than
    1 / alpha - 1 has none; such classes share the quantile of their images together, which covers these images but not
    each of the classes, and where even they are too few the quantile of all held-out images is theirs, which promises
    nothing of them.

    Args:
        logits: (N, K) float, of images that neither trained the network nor fitted anything.
        targets: (N,) int64.
        alpha: Between 0 and 1.
        prior: Not looked at.

    Returns:
        The sets; ``fell_back`` names the classes without a threshold of their own.

    Reference:
        Vovk, "Conditional Validity of Inductive Conformal Predictors", ACML 2012.
    """
    k, scores = logits.shape[1], own_scores(logits, targets)
    counts = torch.bincount(targets, minlength=k).tolist()
    rare = [c for c in range(k) if rank_of(counts[c], check_alpha(alpha)) > counts[c]]
    pooled = torch.isin(targets, torch.tensor(rare, dtype=targets.dtype))
    of_pool = int(pooled.sum())
    shared = quantile(scores[pooled] if rank_of(of_pool, alpha) <= of_pool else scores, alpha)
    found = [shared if c in rare else quantile(scores[targets == c], alpha) for c in range(k)]
    return SetRule(torch.tensor(found, dtype=torch.float64), torch.ones(k, dtype=torch.float64), rare)
