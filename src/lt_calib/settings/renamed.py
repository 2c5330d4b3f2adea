"""What settings of version 0.1.0 are called now."""

from collections.abc import Mapping
from typing import Any

from lt_calib.settings.table import canonical

KEYS = {
    "stage1.momentum": "stage1.optimizer.momentum",
    "stage1.nesterov": "stage1.optimizer.nesterov",
    "stage2.momentum": "stage2.optimizer.momentum",
    "stage2.classifier.normalise": "stage2.classifier.normalize",
    "resample.neighbours": "resample.neighbors",
}
TARGETS = {
    "lt_calib.stage.schedule.": "lt_calib.training.schedule.",
    "lt_calib.trainer.make_trainer": "lt_calib.training.trainer.TrainerSettings",
}
NEW = ("dataset.", "transform.", "stage1.optimizer._target_")  # a checkpoint did not name these parts
HALF = ("augment.size", "augment.then.size")  # in pixels of 32 then, a fraction of the side now
BY_HALF = ("CutThumbnail", "MixedCutThumbnail", "AutoAugment")


def renamed(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Write flat settings as this version does; those of this version stay as they are."""
    half = str(flat.get("augment._target_", "")).rsplit(".", 1)[-1] in BY_HALF
    found = {}
    for key, value in flat.items():
        for old, new in TARGETS.items():
            value = value.replace(old, new) if isinstance(value, str) else value
        found[KEYS.get(key, key)] = 0.5 if half and key in HALF and value == 16 else canonical(value)
    return found
