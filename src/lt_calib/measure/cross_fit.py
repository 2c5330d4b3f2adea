"""How a calibrator does on the images that it is fitted to, each judged by one that has not seen it."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lt_calib.measure.pieces import by_rows
from lt_calib.metric.nll import nll_of_each

if TYPE_CHECKING:
    from lt_calib.posthoc.base import Calibrator

FOLDS = 5


def deal(logits: Tensor, targets: Tensor, folds: int = FOLDS) -> Tensor:
    """Deal the images of each class out to folds, the next class going on where the last one ended.

    Within a class they come in the order of their logits, whatever order they are given in; equal rows, which are one
    image counted twice, come into one fold.

    Args:
        logits: (N, K) float.
        targets: (N,) int64.
        folds: F >= 1.

    Returns:
        (N,) int64, each image's fold of 0 to F - 1.
    """
    place, first = torch.zeros_like(targets), 0
    for c in targets.unique():
        rows = targets == c
        different, which = torch.unique(logits[rows], dim=0, return_inverse=True)
        place[rows] = (first + which) % folds
        first += len(different)
    return place


def cross_fitted(
    make: "Callable[[int], Calibrator]", logits: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Tensor | None:
    """Calibrate each fold by what was fitted to the others, see :func:`deal`.

    Args:
        make: Builds a calibrator for K classes.
        logits: (N, K) float32.
        targets: (N,) int64.
        weights: (N,) float64, >= 0, that each is fitted with; None for 1 each.

    Returns:
        Logarithms of the probabilities, (N, K) float32; None where a class has less than two images.
    """
    counts = torch.bincount(targets, minlength=logits.shape[1])
    folds = min(FOLDS, int(counts.min()))
    return None if folds < 2 else in_turn(make, logits, targets, weights, deal(logits, targets, folds))


def in_turn(
    make: "Callable[[int], Calibrator]", logits: Tensor, targets: Tensor, weights: Tensor | None, place: Tensor
) -> Tensor:
    """Calibrate the images of each fold, ``place`` (N,), by what was fitted to the others, (N, K) float32."""
    out = torch.zeros(logits.shape)
    for fold in place.unique():
        held = place == fold
        w = None if weights is None else weights[~held]
        with warnings.catch_warnings():  # the one that is fitted to all of them says it
            warnings.simplefilter("ignore")
            calibrator = make(logits.shape[1]).fit(logits[~held], targets[~held], w)
        out[held] = log_probs(calibrator, logits[held])
    return out


def log_probs(calibrator: "Calibrator", logits: Tensor) -> Tensor:
    """Compute the logarithms of calibrated probabilities, (N, K) float -> (N, K) float32; of 0 it is -708."""
    tiny = torch.finfo(torch.float64).tiny
    return by_rows(lambda z: calibrator(z).double().clamp(min=tiny).log().float(), logits)


def made_worse(logits: Tensor, crossed: Tensor, targets: Tensor, weights: Tensor | None = None) -> str | None:
    """Say so where cross-fitting makes the mean NLL larger than it was, by more than two standard errors of it.

    Args:
        logits: (N, K) float32, before calibration.
        crossed: (N, K) float32, of :func:`cross_fitted`.
        targets: (N,) int64.
        weights: (N,) float64, >= 0, of the mean; None for 1 each.
    """
    before, after = (nll_of_each(z, targets) for z in (logits, crossed))
    share = torch.ones_like(before) if weights is None else weights
    share = share / share.sum()
    mean, change = float((share * (after - before)).sum()), after - before
    error = float((share * (change - mean)).square().sum()) ** 0.5
    if mean <= 2 * error:
        return None
    return (
        f"it makes the NLL of held-out images that it was not fitted to {float((share * after).sum()):.3f}, and "
        f"without it that is {float((share * before).sum()):.3f}: leave it out, or take one of fewer parameters"
    )
