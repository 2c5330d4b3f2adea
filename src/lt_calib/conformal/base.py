"""What all prediction sets share: the conformal quantile, and sets of the classes whose score is at most theirs."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor


def check_alpha(alpha: float) -> float:
    """Return alpha, the share of true classes that sets may miss.

    Raises:
        ValueError: it is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} must be > 0 and < 1: the share of true classes that sets may miss, 0.1 say")
    return alpha


def quantile(scores: Tensor, alpha: float) -> float:
    """Compute the ceil((n + 1) (1 - alpha))-th smallest of n scores (n,), infinite where n is smaller than that.

    A further score of the same distribution is at most that with probability >= 1 - alpha, whatever the distribution,
    and where no two are equal with probability <= 1 - alpha + 1 / (n + 1).

    Reference:
        Angelopoulos and Bates, "A Gentle Introduction to Conformal Prediction", 2021, appendix D.
    """
    rank = rank_of(len(scores), alpha)
    return math.inf if rank > len(scores) else float(scores.sort().values[rank - 1])


def rank_of(n: int, alpha: float) -> int:
    """Compute ceil((n + 1) (1 - alpha)), exactly so where that is a whole number but for rounding."""
    return math.ceil(round((n + 1) * (1 - alpha), 9))


@dataclass
class SetRule:
    """Which classes a set has: those of score s_y(x) <= q_y, with s_y(x) = -softmax(z)_y / r_y.

    Attributes:
        thresholds: (K,) float64, q; an infinite one takes its class always.
        prior: (K,) float64, r; ones for softmax itself.
        fell_back: Classes of too few held-out images for a threshold of their own.
    """

    thresholds: Tensor
    prior: Tensor
    fell_back: list[int] = field(default_factory=list)

    def sets(self, logits: Tensor) -> Tensor:
        """Compute the sets, (N, K) float -> (N, K) bool; one may be empty."""
        return scores_of(logits, self.prior) <= self.thresholds


def scores_of(logits: Tensor, prior: Tensor | None = None) -> Tensor:
    """Compute -softmax(z)_y / r_y for each class, (N, K) float -> (N, K) float64; r is 1 where none is given."""
    probs = torch.softmax(logits.double(), dim=1)
    return -(probs if prior is None else probs / prior)


def own_scores(logits: Tensor, targets: Tensor, prior: Tensor | None = None) -> Tensor:
    """Compute the true classes' scores, (N,) float64."""
    return scores_of(logits, prior).gather(1, targets[:, None])[:, 0]
