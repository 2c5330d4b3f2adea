"""What the run itself gives to the part at each place of the configuration."""

import inspect
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any


@dataclass(frozen=True)
class Slot:
    """What the run itself gives to the part at one place of the configuration, and no setting may.

    Attributes:
        first: How many parameters from the left.
        given: Names of others; a part has those of them that it wants.
        taken: Keys of the node that the run reads itself.
    """

    first: int = 0
    given: frozenset[str] = frozenset()
    taken: frozenset[str] = frozenset()


def _slot(first: int = 0, given: str = "", taken: str = "") -> Slot:
    return Slot(first, frozenset(given.split()), frozenset(taken.split()))


SLOTS = {  # the first pattern that fits holds
    "dataset": _slot(
        0, "imbalance_factor transform", "if recipe mean std padding flip train val test file columns set"
    ),
    "dataset.source": _slot(1),
    "resample": _slot(2, "seed", "space"),
    "model.backbone": _slot(0, "in_channels"),
    "model.classifier": _slot(2),
    "augment": _slot(0, "class_counts then", "partner then"),
    "augment.then": _slot(0, "class_counts", "partner"),
    "augment*.partner": _slot(1, "num_classes seed stage purpose"),
    "stage?.sampler": _slot(1, "num_classes seed stage purpose"),
    "stage?.loss": _slot(1),
    "stage?.loss.loss": _slot(1),
    "stage?.optimizer": _slot(1, "lr weight_decay"),
    "stage?.schedule": _slot(2),
    "stage1.adapter": _slot(1),
    "stage1": _slot(
        3, "optimizer schedule seed", "loss sampler ckpt_path optimizer schedule frozen pretrained adapter"
    ),
    "stage2": _slot(3, "stage1_classifier optimizer schedule seed", "loss sampler classifier optimizer schedule"),
    "stage2.classifier": _slot(1, "num_classes prior corrected"),
    "metric.*": _slot(2),
    "posthoc*": _slot(1, "class_counts"),
    "logger": _slot(0, "config folder group tags"),
}
FUNCTION_SLOTS = {
    "augment": _slot(3, "partner class_counts then", "partner then"),
    "augment.then": _slot(3, "partner class_counts", "partner"),
}
CLASS_SLOTS = {"stage?.schedule": _slot(1)}  # a scheduler of torch's, which takes the optimizer


def slot_of(path: str, target: Any) -> Slot:
    """Return what the run gives to ``target`` at this place."""
    special = CLASS_SLOTS if inspect.isclass(target) else FUNCTION_SLOTS
    for table in (special, SLOTS):
        for pattern, slot in table.items():
            if fnmatch(path, pattern):
                return slot
    return Slot()
