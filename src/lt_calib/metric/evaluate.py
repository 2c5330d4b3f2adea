"""All metrics of one model on one set of pictures."""

from collections.abc import Callable, Mapping
from inspect import signature

import torch
from torch import Tensor

MetricFunction = Callable[..., Tensor]
BY_GROUP = ("acc", "ece")


def evaluate(
    logits: Tensor,
    targets: Tensor,
    groups: Mapping[str, list[int]],
    metrics: Mapping[str, MetricFunction],
) -> dict[str, float | None]:
    """Compute every metric, and accuracy and ECE within head, medium and tail (by true class).

    Args:
        logits: (N, K) float, those whose softmax is the model's prediction.
        targets: (N,) int64.
        groups: Classes of each group.
        metrics: Functions of ``(probs, targets)``, or of ``(logits, targets)`` where the first parameter is so named.

    Returns:
        ``{"acc", "ece", ..., "acc_head", ...}``, fractions; None for a group without a class or picture.
    """
    logits = logits.float()
    probs = torch.softmax(logits, dim=1)

    def value(metric: MetricFunction, rows: Tensor) -> float | None:
        if not bool(rows.any()):
            return None
        given = logits if "logits" in signature(metric).parameters else probs
        return float(metric(given[rows], targets[rows]))

    everything = torch.ones_like(targets, dtype=torch.bool)
    results = {name: value(metric, everything) for name, metric in metrics.items()}
    for name in BY_GROUP:
        for group, classes in groups.items():
            rows = torch.isin(targets, torch.tensor(classes, dtype=targets.dtype, device=targets.device))
            if name in metrics:
                results[f"{name}_{group}"] = value(metrics[name], rows)
    return results
