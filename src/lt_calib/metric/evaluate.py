"""All metrics of one model on one set of pictures."""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import torch
from torch import Tensor

MetricFunction = Callable[..., Any]  # () tensor, or a NamedTuple of them
BY_GROUP = ("acc", "ece", "overconf")


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
        ``ece_floor_mean``; None for a group without a class or picture.
    """
    logits = logits.float()
    probs = torch.softmax(logits, dim=1)

    def values(name: str, rows: Tensor) -> dict[str, float | None]:
        if not bool(rows.any()):
            return {name: None}
        metric = metrics[name]
        given = logits if "logits" in signature(metric).parameters else probs
        value = metric(given[rows], targets[rows])
        if isinstance(value, Tensor):
            return {name: float(value)}
        return {f"{name}_{part}": float(v) for part, v in value._asdict().items()}

    everything = torch.ones_like(targets, dtype=torch.bool)
    results: dict[str, float | None] = {}
    for name in metrics:
        results |= values(name, everything)
    for name in (n for n in BY_GROUP if n in metrics):
        for group, classes in groups.items():
            rows = torch.isin(targets, torch.tensor(classes, dtype=targets.dtype, device=targets.device))
            results[f"{name}_{group}"] = values(name, rows)[name]
    return results
