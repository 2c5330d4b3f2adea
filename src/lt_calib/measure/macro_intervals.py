"""Intervals of means over classes: recall, precision, F1, AUROC and average precision."""

from collections.abc import Callable, Collection

import torch
from torch import Tensor

from lt_calib.measure.check import check_probs
from lt_calib.seed import generator

RESAMPLES = 400
LEVELS = (0.025, 0.975)


def macro_intervals(
    probs: Tensor, targets: Tensor, names: Collection[str], resamples: int = RESAMPLES
) -> dict[str, list[float]]:
    """Compute 95 % percentile intervals of the bootstrap over images, each class's number with all other classes'.

    A metric over classes hangs on its rarest ones: a class of five test images alone moves its recall by steps of a
    fifth, and the interval says so. A class that a resample has no image of is left out of its mean. Ties between
    images are broken by their order, which the metrics themselves count as halves.

    Args:
        probs: (N, K) float, rows sum to 1.
        targets: (N,) int64.
        names: Which of ``acc_balanced``, ``precision_macro``, ``f1_macro``, ``auroc_macro`` and ``ap_macro``; others
            are passed over.
        resamples: R >= 1.

    Returns:
        Name -> [low, high], fractions.

    Reference:
        Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    wanted = {name: OF[name] for name in names if name in OF}
    if not wanted:
        return {}
    probs, targets = check_probs(probs, targets).cpu(), targets.cpu()
    drawn = torch.randint(len(targets), (resamples, len(targets)), generator=generator(0, "bootstrap of classes"))
    counts = torch.zeros(resamples, len(targets)).scatter_add_(1, drawn, torch.ones(drawn.shape))
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    found = {name: each(counts, probs, targets).double().nanmean(dim=1) for name, each in wanted.items()}
    return {name: values.nanquantile(levels).tolist() for name, values in found.items()}


def _recall(counts: Tensor, probs: Tensor, targets: Tensor) -> Tensor:
    right, _, of = _table(counts, probs, targets)
    return right / of.where(of > 0, torch.nan)


def _precision(counts: Tensor, probs: Tensor, targets: Tensor) -> Tensor:
    right, predicted, of = _table(counts, probs, targets)
    return (right / predicted.clamp(min=1)).where(of > 0, torch.nan)


def _f1(counts: Tensor, probs: Tensor, targets: Tensor) -> Tensor:
    right, predicted, of = _table(counts, probs, targets)
    return (2 * right / (predicted + of).clamp(min=1)).where(of > 0, torch.nan)


def _table(counts: Tensor, probs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Count right, predicted and true images of each class in each resample, (R, K) each."""
    predicted, none = probs.argmax(dim=1), torch.zeros(len(counts), probs.shape[1])
    right = none.index_add(1, targets, counts * (predicted == targets))
    return right, none.index_add(1, predicted, counts), none.index_add(1, targets, counts)


def _auroc(counts: Tensor, probs: Tensor, targets: Tensor) -> Tensor:
    """Compute sum_i w_i 1[y_i = c] W-_{below i} / (W+ W-)."""
    return _ranked(counts, probs, targets, descending=False)


def _average_precision(counts: Tensor, probs: Tensor, targets: Tensor) -> Tensor:
    """Compute sum_i w_i 1[y_i = c] P_i / W+, P_i the precision among the images that rank as high as i."""
    return _ranked(counts, probs, targets, descending=True)


def _ranked(counts: Tensor, probs: Tensor, targets: Tensor, descending: bool) -> Tensor:
    out = torch.full((len(counts), probs.shape[1]), torch.nan, dtype=torch.float64)
    for c in targets.unique().tolist():
        order = probs[:, c].argsort(descending=descending, stable=True)
        w, own = counts[:, order].double(), (targets[order] == c).double()
        of_class, others = w * own, w * (1 - own)
        if descending:
            share = of_class.cumsum(1) / w.cumsum(1).clamp(min=1)
            value = (of_class * share).sum(1) / of_class.sum(1)
        else:
            value = (of_class * others.cumsum(1)).sum(1) / (of_class.sum(1) * others.sum(1))
        out[:, c] = value.where(others.sum(1) > 0, torch.nan)
    return out


OF: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "acc_balanced": _recall,
    "precision_macro": _precision,
    "f1_macro": _f1,
    "auroc_macro": _auroc,
    "ap_macro": _average_precision,
}
