"""Paired comparison of two models on the same pictures."""

from typing import NamedTuple

import torch
from scipy.stats import binomtest
from torch import Tensor

from lt_calib.metric.bootstrap import picture_scores, resampled_means

LEVEL = 0.05


class Difference(NamedTuple):
    """The first model's value minus the second's, and whether chance explains it.

    Attributes:
        value: A fraction; nats for the NLL.
        low: Lower end of the 95 % interval.
        high: Upper end.
        p: Two-sided p value of no difference.
    """

    value: float
    low: float
    high: float
    p: float

    @property
    def beyond_noise(self) -> bool:
        """Whether p < 0.05."""
        return self.p < LEVEL


def mcnemar(correct_a: Tensor, correct_b: Tensor) -> float:
    """Compute the two-sided p value of McNemar's exact test: of the pictures on which one is right and one wrong, half.

    Args:
        correct_a: (N,) bool, where the first model is right.
        correct_b: (N,) bool, where the second is.

    Reference:
        McNemar, "Note on the Sampling Error of the Difference between Correlated Proportions or Percentages", 1947.
    """
    only_a = int((correct_a & ~correct_b).sum())
    only_b = int((correct_b & ~correct_a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def compare(logits_a: Tensor, logits_b: Tensor, targets: Tensor, resamples: int = 4000) -> dict[str, Difference]:
    """Compare two models: accuracy by McNemar's test, NLL, Brier score and over-confidence by the paired bootstrap.

    Args:
        logits_a: (N, K) float of the first model.
        logits_b: (N, K) float of the second, of the same pictures in the same order.
        targets: (N,) int64.
        resamples: >= 1.

    Returns:
        ``{"acc", "nll", "brier", "overconf"}``; the bootstrap's p is twice the share of resamples on the rarer side of
        0, and not below 1 / resamples.

    Raises:
        ValueError: the two are not of the same pictures.
    """
    if logits_a.shape != logits_b.shape:
        raise ValueError(f"logits {tuple(logits_a.shape)} and {tuple(logits_b.shape)} must be of the same pictures")
    a, b = picture_scores(logits_a, targets), picture_scores(logits_b, targets)
    each = torch.stack([a[name] - b[name] for name in a], dim=1)
    means = resampled_means(each, resamples)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64), dim=0)
    p = 2 * torch.minimum((means <= 0).double().mean(0), (means >= 0).double().mean(0))
    p = p.clamp(1 / resamples, 1.0)
    found = {
        name: Difference(float(each[:, i].mean()), float(low[i]), float(high[i]), float(p[i]))
        for i, name in enumerate(a)
    }
    found["acc"] = found["acc"]._replace(p=mcnemar(a["acc"] > 0, b["acc"] > 0))
    return found
