"""How finished stages are calibrated, from the setting ``posthoc``."""

from collections.abc import Sequence

from hydra.utils import get_object
from omegaconf import DictConfig

from lt_calib.dataset.data import Data
from lt_calib.errors import InputError
from lt_calib.job.parts import Posthoc
from lt_calib.settings.check import make
from lt_calib.settings.schema import plain


def build_posthoc(cfg: DictConfig, data: Data, held_out: bool) -> Posthoc:
    """Build the calibrator's class, and try it.

    Raises:
        InputError: nothing is held out to fit it to.
    """
    refuse_without_validation(held_out)
    posthoc = posthoc_of(cfg, data.cut_counts)
    posthoc.make(data.num_classes)
    return posthoc


def posthoc_of(cfg: DictConfig, class_counts: Sequence[int]) -> Posthoc:
    """Build the calibrator's class with its settings, and name it: by its file, one of one's own by its class.

    Args:
        cfg: With ``posthoc``.
        class_counts: (K,) training images of each class, for a calibrator that asks for them.
    """
    target = get_object(cfg.posthoc["_target_"])
    module = target.__module__
    method = module.rsplit(".", 1)[-1] if module.startswith("lt_calib.") else target.__name__
    return Posthoc(make(cfg, "posthoc", class_counts=list(class_counts)), method, plain(cfg.posthoc))


def refuse_without_validation(held_out: bool) -> None:
    """Refuse to calibrate where nothing is held out: the test set is not for fitting."""
    if not held_out:
        raise InputError(
            "posthoc calibration is fitted on held-out validation images, and none are held out: train with "
            "dataset.val_per_class=200 (CIFAR-10), 20 (CIFAR-100) or 10 (digits), with a frozen network with "
            "cross_fit=5, or take posthoc=none"
        )
