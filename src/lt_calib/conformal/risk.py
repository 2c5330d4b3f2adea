"""The confidence above which few of the accepted predictions are wrong, with a bound that holds for few images."""

import math
from dataclasses import dataclass

import torch
from scipy.stats import binom
from torch import Tensor

GRID = tuple(i / 200 for i in range(199, -1, -1))  # thresholds, the strictest first; fixed before any image is seen
STARTS = (0.99, 0.95, 0.9, 0.75, 0.5)


@dataclass
class Accepted:
    """What is accepted: predictions of confidence max softmax(z) >= threshold.

    Attributes:
        risk: At most that share of what is accepted is wrong.
        delta: But for that probability, over held-out parts.
        threshold: None accepts nothing: the held-out part can vouch for none.
    """

    risk: float
    delta: float
    threshold: float | None

    def takes(self, logits: Tensor) -> Tensor:
        """Say which are accepted, (N, K) float -> (N,) bool."""
        level = math.inf if self.threshold is None else self.threshold
        return torch.softmax(logits.double(), dim=1).amax(1) >= level

    def __str__(self) -> str:
        """Say what is promised of them."""
        if self.threshold is None:
            return f"too few held-out images, or too many wrong ones, to accept any at a risk of {100 * self.risk:g} %."
        return f"at most {100 * self.risk:g} % of such are wrong, said with {100 * (1 - self.delta):g} % confidence."


def accept_above(confidence: Tensor, wrong: Tensor, risk: float, delta: float = 0.05) -> float | None:
    """Find a threshold t with P(wrong | confidence >= t) <= risk, but for a probability delta over held-out parts.

    Fixed-sequence testing with five starts, of learn-then-test: from each of ``STARTS`` the thresholds of ``GRID`` are
    tested downwards, until for the first of them Clopper and Pearson's upper bound of the risk, at level 1 - delta / 5,
    is above ``risk``: P(Binomial(m, risk) <= wrong ones of the m accepted) > delta / 5. Of all that passed the lowest
    is taken. A chain passes a threshold whose risk is too high only if it passes the first such, which it does with
    probability <= delta / 5; so the search costs nothing more. One wants 90 images without an error to vouch for 5 %.

    Args:
        confidence: (N,) float, of images that fitted nothing.
        wrong: (N,) bool.
        risk: Between 0 and 1.
        delta: Between 0 and 1.

    Returns:
        t; None where no threshold passes.

    Raises:
        ValueError: risk or delta is not between 0 and 1.

    Reference:
        Angelopoulos et al., "Learn then Test", 2021, algorithm 1; Geifman and El-Yaniv, "Selective Classification for
        Deep Neural Networks", NeurIPS 2017.
    """
    for name, value in (("risk", risk), ("delta", delta)):
        if not 0 < value < 1:
            raise ValueError(f"{name} {value} must be > 0 and < 1: 0.05 is 5 %")
    level = delta / len(STARTS)
    above = confidence[None] >= torch.tensor(GRID, dtype=confidence.dtype)[:, None]  # (thresholds, N)
    passes = binom.cdf((above & wrong).sum(1).numpy(), above.sum(1).numpy(), risk) <= level
    lowest = None
    for start in STARTS:
        for i in range(GRID.index(start), len(GRID)):
            if not passes[i]:
                break
            lowest = GRID[i] if lowest is None else min(lowest, GRID[i])
    return lowest
