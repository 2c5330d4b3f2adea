"""What would stay as it was drawn, and what a stage is too short for: found before anything trains."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from lt_calib.stage.base import StageModule
from lt_calib.training.schedule import phases_of

log = logging.getLogger(__name__)


def stays_random(module: StageModule, part: nn.Module, again: Callable[[], nn.Module]) -> bool:
    """Say whether a part begins from drawn weights of which the stage trains none.

    Whether weights are drawn is seen from building the part once more with another seed: pretrained ones, those of the
    stage before and a scale of 1 are the same then.

    Args:
        module: The stage.
        part: Its backbone or classifier.
        again: Builds the part with another seed; called only where something of it is not trained.
    """
    groups = module.param_groups() if module.max_epochs else ()
    trained = {id(p) for group in groups if group.get("lr", module.lr) > 0 for p in group["params"]}
    own = list(part.parameters())
    if all(id(p) in trained for p in own):
        return False
    drawn = [p for p, other in zip(own, again().parameters(), strict=True) if not torch.equal(p, other)]
    return bool(drawn) and not any(id(p) in trained for p in drawn)


def tell_empty_phases(module: StageModule, parts: Iterable[Any], steps: int) -> None:
    """Warn of what begins at a fraction of a stage's epochs and, in so few, never does.

    Args:
        module: The stage.
        parts: All that may change with the epoch; ``phases`` of one says how many epochs each of its phases lasts.
        steps: Batches an epoch.
    """
    if not module.max_epochs:
        return
    total = module.max_epochs * (steps if module.schedule_per == "step" else 1)
    rates = phases_of(module.schedule, total)
    if rates.pop("warm-up", 1) == 0:
        log.info("stage%d.schedule: its warm-up is shorter than an epoch, and there is none.", module.stage)
    phases = [(type(part).__name__, getattr(part, "phases", {})) for part in parts] + [("the schedule", rates)]
    empty = [f"{name} of {whose}" for whose, found in phases for name, length in found.items() if length <= 0]
    if empty:
        log.warning(
            "stage%d.max_epochs=%d is too short for %s: of so few epochs the fraction is none. Train longer, or set "
            "another fraction.", module.stage, module.max_epochs, ", ".join(empty),
        )  # fmt: skip
