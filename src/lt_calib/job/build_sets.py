"""Which prediction sets a run is asked for, from the setting ``conformal``."""

from typing import Any

from omegaconf import DictConfig

from lt_calib.conformal.base import check_alpha
from lt_calib.conformal.of_run import FITS
from lt_calib.errors import InputError
from lt_calib.settings.schema import plain
from lt_calib.settings.values import refuse_unknown


def build_sets(cfg: DictConfig, held_out: bool) -> dict[str, Any]:
    """Check the settings of prediction sets; an empty one asks for none.

    Raises:
        InputError: a setting is out of its range, or nothing is held out to fit them to.
    """
    sets = plain(cfg.conformal) if cfg.conformal else {}
    if not sets:
        return sets
    refuse_unknown(cfg.conformal, {"method", "alpha", "weight"}, "conformal")
    if sets.get("method") not in FITS:
        raise InputError(f"conformal.method={sets.get('method')} must be one of {', '.join(FITS)}")
    check_alpha(sets["alpha"])
    if not 0 <= sets.get("weight", 0.5) <= 1:
        raise InputError(f"conformal.weight={sets['weight']} must be in 0 to 1")
    if not held_out:
        raise InputError(
            f"conformal={sets['method']}: sets are fitted on held-out validation images, never on the test set, and "
            "none are held out: add dataset.val_per_class=20, say, or with a frozen network cross_fit=5"
        )
    return sets
