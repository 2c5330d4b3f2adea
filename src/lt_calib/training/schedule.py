"""Learning-rate schedules: the factor of each epoch, in proportion to the number of epochs.

A schedule is any function ``(epoch, max_epochs) -> factor``, epoch 0-based; with ``schedule_per=step`` it is asked
``(step, max_steps)``.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any


def warmup_multistep(
    epoch: int, max_epochs: int, *, warmup: float, milestones: Sequence[float], gamma: float, start: float = 0.0
) -> float:
    """Linear warm-up, then a step down at each milestone: (s + (1 - s) min(1, (e + 1) / W)) gamma^(milestones passed).

    Args:
        epoch: e, 0-based.
        max_epochs: E >= 1.
        warmup: W / E, in [0, 1); a W below one epoch warms nothing up.
        milestones: Fractions of E, from whose epoch on the rate is multiplied by gamma once more.
        gamma: > 0.
        start: s, the factor that the warm-up begins above, in [0, 1].

    Raises:
        ValueError: a setting out of its range: a milestone in epochs, say.
    """
    if not (0 <= warmup < 1 and all(0 <= m <= 1 for m in milestones) and gamma > 0 and 0 <= start <= 1):
        raise ValueError(
            f"warmup {warmup} must be in [0, 1), milestones {list(milestones)} and start {start} in [0, 1], and gamma "
            f"{gamma} > 0: warmup and milestones are fractions of the epochs, 0.8 for 160 of 200"
        )
    rise = min(1.0, (epoch + 1) / (warmup * max_epochs)) if warmup > 0 else 1.0
    passed = sum(epoch >= round(m * max_epochs, 6) for m in milestones)
    return (start + (1 - start) * rise) * gamma**passed


def cosine(epoch: int, max_epochs: int, *, warmup: float = 0.0) -> float:
    """Cosine decay after a linear warm-up: min(1, (e + 1) / W), then (1 + cos(pi (e - W) / (E - W))) / 2.

    Args:
        epoch: e, 0-based.
        max_epochs: E >= 1.
        warmup: W / E, in [0, 1).

    Raises:
        ValueError: warmup is out of its range: in epochs, say.

    Reference:
        Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5.
    """
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup {warmup} must be in [0, 1), a fraction of the epochs: 0.025 for 5 of 200")
    rise = warmup * max_epochs
    if epoch < rise:
        return min(1.0, (epoch + 1) / rise)
    return (1 + math.cos(math.pi * (epoch - rise) / (max_epochs - rise))) / 2


def phases_of(schedule: Any, total: int) -> dict[str, int]:
    """Say how many epochs or steps each phase of a schedule lasts, by its settings ``warmup`` and ``milestones``.

    Args:
        schedule: With its settings, a partial function; of another one nothing is known.
        total: E, epochs or steps.
    """
    settings = (
        schedule.keywords if isinstance(schedule, partial) and schedule.func in (warmup_multistep, cosine) else {}
    )
    milestones = sorted(settings.get("milestones", ()))
    starts = [*(math.ceil(round(m * total, 6)) for m in milestones), total]
    found = {f"the step at milestone {m:g}": starts[i + 1] - starts[i] for i, m in enumerate(milestones)}
    return found | ({"warm-up": math.floor(settings["warmup"] * total)} if settings.get("warmup") else {})


def constant(epoch: int, max_epochs: int) -> float:
    """Leave the rate as it is: 1."""
    return 1.0
