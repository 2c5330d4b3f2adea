"""Metrics of weighed images: what they would be under other class frequencies than the part's own.

With weights w_i = q_c / pi_c for an image of class c, pi its frequency in the part, each is an unbiased estimate of its
value where the classes have frequencies q (importance weighting). ``w=1`` gives the unweighed metric.
"""

from torch import Tensor


def effective_size(weights: Tensor) -> float:
    """Compute (sum w)^2 / sum w^2: as many images of equal weight give a mean as precise (Kish 1965).

    Args:
        weights: (N,) float, >= 0, not all 0.
    """
    w = weights.double()
    return float(w.sum() ** 2 / w.square().sum())
