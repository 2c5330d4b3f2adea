"""All metrics of one model on one set of pictures."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from lt_calib.measure.check import check_labeled
from lt_calib.measure.direction import way_of

MetricFunction = Callable[..., Any]  # a number or () tensor, or a NamedTuple of them
BY_GROUP = ("acc", "ece", "overconf")
GROUP_NAMES = ("head", "medium", "tail")


def evaluate(
    logits: Tensor,
    targets: Tensor,
    groups: Mapping[str, list[int]],
    metrics: Mapping[str, MetricFunction],
) -> dict[str, float | None]:
    """Compute every metric; accuracy, ECE and over-confidence within head, medium and tail (by true class) too.

    A calibrated model has an ECE and an over-confidence of 0 on all pictures, and not within a group: among pictures
    selected by their true class every prediction of a class of another group is wrong, however sure. Within groups they
    compare models and say which way one leans; no noise floor belongs to them.

    Args:
        logits: (N, K) float, those whose softmax is the model's prediction.
        targets: (N,) int64.
        groups: Classes of each group.
        metrics: Functions of ``(probs, targets)``, or of ``(logits, targets)`` where the first parameter is so named.

    Returns:
        ``{"acc", "ece", ..., "acc_head", ...}``, fractions; a metric of several values has a key for each, such as
        ``ece_floor_mean``; None for a group without a class or image, and for a value that is not finite.
    """
    check_labeled(logits, targets)
    logits = logits.float()
    probs = torch.softmax(logits, dim=1)

    def values(name: str, rows: Tensor | None) -> dict[str, float | None]:
        if rows is not None and not bool(rows.any()):
            return {name: None}
        metric = metrics[name]
        given = logits if "logits" in signature(metric).parameters else probs
        value = metric(given, targets) if rows is None else metric(given[rows], targets[rows])
        if isinstance(value, tuple):
            return {f"{name}_{part}": finite(v) for part, v in value._asdict().items()}  # type: ignore[attr-defined]
        return {name: finite(value)}

    results: dict[str, float | None] = {}
    for name in metrics:
        results |= values(name, None)
    for name in (n for n in BY_GROUP if n in metrics):
        for group, classes in groups.items():
            rows = torch.isin(targets, torch.tensor(classes, dtype=targets.dtype, device=targets.device))
            results[f"{name}_{group}"] = values(name, rows)[name]
    return results


def finite(value: Any) -> float | None:
    """Return a metric's value as a number; None where it is not finite, which no file of results can hold."""
    return float(value) if math.isfinite(value) else None


def ways(metrics: Mapping[str, MetricFunction]) -> dict[str, str]:
    """Say of each measured value that may be searched by whether ``"higher"`` or ``"lower"`` is better."""
    found: dict[str, str | None] = {}
    for name, metric in metrics.items():
        way = getattr(metric.func if isinstance(metric, partial) else metric, "better", None)
        if isinstance(way, Mapping):
            found |= {f"{name}_{part}": way_of(metric, part) for part in way}
        else:
            groups = GROUP_NAMES if name in BY_GROUP else ()
            found |= dict.fromkeys([name, *(f"{name}_{group}" for group in groups)], way_of(metric))
    return {name: way for name, way in found.items() if way is not None}
