"""The one check of predictions and labels, which every metric and calibrator makes."""

import math

import torch
from torch import Tensor

from lt_calib.measure.pieces import by_rows

LEAST_TOLERANCE = 1e-3  # of a row's sum: probabilities that were written with four digits
ROUNDINGS = 4  # of a row's sum, in units of the type's: a softmax, and the mean of an ensemble


def check_logits(logits: Tensor, num_classes: int | None = None) -> None:
    """Refuse what is not one finite number for each image and class.

    Args:
        logits: (N, K) float; probabilities are checked alike.
        num_classes: K, where it is known.

    Raises:
        ValueError: another shape or type, NaN, or an infinite value.
    """
    k = num_classes or "K"
    if not isinstance(logits, Tensor):
        raise ValueError(f"predictions are {type(logits).__name__} and must be a torch.Tensor: torch.as_tensor(...)")
    if logits.ndim != 2 or logits.shape[1] < 1 or logits.shape[1] != (num_classes or logits.shape[1]):
        raise ValueError(f"predictions {tuple(logits.shape)} must be (N, {k}): a row per image, a column per class")
    if not logits.is_floating_point():
        raise ValueError(f"predictions are {logits.dtype} and must be floating point: probabilities or logits")
    low, high = (float(end) for end in logits.aminmax()) if len(logits) else (0.0, 0.0)
    if math.isnan(low):
        raise ValueError("predictions hold NaN: the model has diverged, or its logits were not finite")
    if math.isinf(low) or math.isinf(high):
        raise ValueError("predictions must be finite, and hold infinity: the model has diverged")


def check_labeled(logits: Tensor, targets: Tensor, num_classes: int | None = None) -> None:
    """Refuse predictions that :func:`check_logits` refuses, and labels that are not one class for each row.

    Args:
        logits: (N, K) float, N >= 1.
        targets: (N,) int64 in 0 .. K - 1.
        num_classes: K, where it is known.

    Raises:
        ValueError: another shape or type, no image, a value that is not finite, or a label out of range.
    """
    check_logits(logits, num_classes)
    if not isinstance(targets, Tensor):
        raise ValueError(f"targets are {type(targets).__name__} and must be a torch.Tensor: torch.as_tensor(...)")
    if targets.shape != logits.shape[:1] or len(targets) == 0:
        raise ValueError(
            f"predictions {tuple(logits.shape)} and targets {tuple(targets.shape)} must be (N, {logits.shape[1]}) and "
            "(N,) with N >= 1"
        )
    if targets.dtype != torch.int64:
        raise ValueError(f"targets are {targets.dtype} and must be labels, int64: targets.long() where they are whole")
    if not bool(((targets >= 0) & (targets < logits.shape[1])).all()):
        raise ValueError(
            f"targets must be labels 0 .. {logits.shape[1] - 1}; got {int(targets.min())} .. {int(targets.max())}"
        )


def check_probs(probs: Tensor, targets: Tensor) -> Tensor:
    """Refuse what is not one probability distribution for each row, and return what is measured.

    A row may be off from 1 by what rounding explains: ``max(1e-3, 4 eps) + K eps tiny`` with the type's own precision
    eps and smallest normal number tiny, so that bfloat16 and float16, ensembles and many classes pass. What is measured
    are the values as they are given, a rounded distribution is not scaled to sum to 1; only a value that rounding put
    above 1 counts as 1.

    Args:
        probs: (N, K) float, N >= 1.
        targets: (N,) int64 in 0 .. K - 1.

    Returns:
        (N, K), the probabilities in [0, 1]; those of half precision as float32.

    Raises:
        ValueError: what :func:`check_labeled` refuses, a value outside [0, 1], or a row that does not sum to 1 (logits,
            most likely).
    """
    check_labeled(probs, targets)
    kind = torch.finfo(probs.dtype)
    allowed = max(LEAST_TOLERANCE, ROUNDINGS * kind.eps) + probs.shape[1] * kind.eps * kind.tiny
    low, high = (float(end) for end in probs.aminmax())
    error = float((by_rows(lambda p: p.sum(dim=1, dtype=torch.float64), probs) - 1).abs().max())
    if low < 0 or high > 1 + allowed or error > allowed:
        raise ValueError(
            f"probs must lie in [0, 1] and sum to 1 in each row; got values in [{low:.4g}, {high:.4g}] and a sum that "
            f"is off by {error:.4g}, where {probs.dtype} explains {allowed:.2g}. Logits? Take "
            "torch.softmax(logits.float(), dim=1) first. Rounded to half precision? Give them in that type"
        )
    wide = probs.float() if kind.bits < 32 else probs
    return wide.clamp(max=1) if high > 1 else wide
