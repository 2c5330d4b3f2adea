"""Whether training rows can be held out in turn, ``cross_fit=5``."""

from collections.abc import Callable

from omegaconf import DictConfig

from lt_calib.dataset.data import Data
from lt_calib.errors import InputError
from lt_calib.job.parts import CrossFit, Grid, Stage


def build_cross_fit(
    cfg: DictConfig, data: Data, processes: int, parts: Callable[[Data], tuple[list[Stage], Grid | None]]
) -> CrossFit:
    """Check that the rows of a fold are new to what is trained on the others.

    Raises:
        InputError: they are not, or nothing is trained in a way that folds could repeat.
    """
    folds = cfg.cross_fit
    if folds < 2:
        raise InputError(f"cross_fit={folds} must be 0, or at least 2 folds of the training rows")
    if data.num_features is None:
        raise InputError(
            f"cross_fit={folds} trains the stages once for each fold, on features of a frozen network: set "
            "stage1=frozen, or hold images out, dataset.val_per_class=20, say"
        )
    clash = {
        "the data have a validation part already": "val" in data.splits,
        "stage1.ckpt_path has seen all rows": bool(cfg.stage1.ckpt_path),
        "resampled rows are made of rows of all folds": cfg.resample.get("space") == "pixels",
        "features.views are not folded": bool(cfg.features.views),
        f"the folds are trained by one process, not by {processes}": processes > 1,
    }
    for why in (why for why, true in clash.items() if true):
        raise InputError(f"cross_fit={folds}: {why}; set cross_fit=0, or leave that out")
    return CrossFit(folds, parts)
