"""Intervals of what is a mean over the images: of a share exact, of the others by the bootstrap."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from scipy.stats import beta
from torch import Tensor

from lt_calib.measure.check import check_labeled
from lt_calib.measure.pieces import by_rows
from lt_calib.seed import generator

CHUNK = 100  # resamples at a time


def picture_scores(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Compute each picture's share of accuracy, NLL, Brier score and signed over-confidence, (N,) float64 each.

    Args:
        logits: (N, K) float, those whose softmax is the model's prediction.
        targets: (N,) int64.
    """
    check_labeled(logits, targets)
    return dict(zip(("acc", "nll", "brier", "overconf"), by_rows(_scores, logits, targets).unbind(1), strict=True))


def _scores(logits: Tensor, targets: Tensor) -> Tensor:
    logits = logits.double()
    probs = torch.softmax(logits, dim=1)
    confidence, prediction = probs.max(dim=1)
    correct = (prediction == targets).double()
    nll = F.cross_entropy(logits, targets, reduction="none")
    brier = (probs - F.one_hot(targets, probs.shape[1])).square().sum(1)
    return torch.stack([correct, nll, brier, confidence - correct], dim=1)


def resampled_means(values: Tensor, resamples: int = 4000) -> Tensor:
    """Compute the mean of each column over pictures drawn with replacement, as many as there are.

    Args:
        values: One row a picture.
        resamples: >= 1; from a generator of its own.

    Shape:
        values (N, M) float -> (resamples, M) float64.

    Raises:
        ValueError: resamples is below 1.
    """
    if resamples < 1:
        raise ValueError(f"resamples {resamples} must be >= 1")
    n = len(values)
    random = generator(0, "bootstrap")
    values = values.double()
    means = []
    for start in range(0, resamples, CHUNK):
        rows = torch.randint(n, (min(CHUNK, resamples - start), n), generator=random)
        count = torch.zeros(len(rows), n, dtype=torch.float64).scatter_add_(1, rows, torch.ones(rows.shape).double())
        means.append(count @ values / n)
    return torch.cat(means)


def bootstrap_intervals(logits: Tensor, targets: Tensor, resamples: int = 4000) -> dict[str, list[float]]:
    """Compute 95 % intervals of accuracy, NLL, Brier score and signed over-confidence.

    Of the accuracy it is Clopper and Pearson's, which is exact for the share of a random sample and somewhat wide for a
    test set of as many images of every class, whose classes vary less; the others are percentile intervals of the
    bootstrap over the images. That of a model without any error, or without any hit, is a point: the accuracy's is not,
    and over-confidence, confidence minus accuracy, is given the ends that this leaves it. NLL and Brier score are then
    of the errors that were seen, none.

    The ECE has none: a percentile interval of it does not cover near calibration (:mod:`lt_calib.metric.ece_floor`).

    Args:
        logits: (N, K) float.
        targets: (N,) int64.
        resamples: >= 1; 4000 leave 1 % of error in the intervals' width, the same for all models, as they share them.

    Returns:
        ``{"acc": [low, high], "nll": ..., "brier": ..., "overconf": ...}``, fractions, and nats for the NLL.

    Reference:
        Clopper and Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial", 1934;
        Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    return intervals_of_scores([picture_scores(logits.cpu(), targets.cpu())], resamples)[0]


def intervals_of_scores(scores: Sequence[dict[str, Tensor]], resamples: int = 4000) -> list[dict[str, list[float]]]:
    """Compute the intervals of several models on the same images; drawing, which takes the time, is done once.

    Args:
        scores: Of each model, see :func:`picture_scores`.
        resamples: >= 1.
    """
    columns = torch.stack([column for model in scores for column in model.values()], dim=1)
    quantiles = torch.tensor([0.025, 0.975], dtype=torch.float64)
    low, high = resampled_means(columns, resamples).quantile(quantiles, dim=0).tolist()
    names = list(scores[0])
    found = []
    for i, model in enumerate(scores):
        mine = slice(len(names) * i, len(names) * (i + 1))
        intervals = {name: [a, b] for name, a, b in zip(names, low[mine], high[mine], strict=True)}
        hits, n = int(model["acc"].sum()), len(columns)
        worst, best = intervals["acc"] = binomial_interval(hits, n)
        if hits in (0, n):  # the bootstrap saw the confidence vary, and not the accuracy
            a, b = intervals["overconf"]
            intervals["overconf"] = [a + hits / n - best, b + hits / n - worst]
        found.append(intervals)
    return found


def binomial_interval(hits: int, n: int, level: float = 0.95) -> list[float]:
    """Compute the exact interval of a share, hits of n: all p under which neither tail is below (1 - level) / 2."""
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, hits, n - hits + 1)) if hits else 0.0
    return [low, float(beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0]
