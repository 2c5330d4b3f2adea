"""What is refused by its value alone: before anything heavy is imported, and before a folder is made."""

import difflib
import sys
from dataclasses import fields
from math import isfinite
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lt_calib.errors import InputError, check_seed
from lt_calib.files.folder import folder_of
from lt_calib.settings.schema import Config, nearest_factor

KEPT = ("float32", "float16")  # types of the logits in predictions.npz
WHOLE = {  # the least of what must be whole numbers
    "stage1.max_epochs": 0, "stage2.max_epochs": 0, "dataset.batch_size": 1, "dataset.eval_batch_size": 1,
    "dataset.val_per_class": 0, "trainer.devices": 1, "trainer.num_nodes": 1, "trainer.eval_every": 1,
}  # fmt: skip
OF_A_FOLDER = ("lt_calib.dataset.folder.folder", "lt_calib.dataset.list.listed", "lt_calib.dataset.table.table")
NOT_NEGATIVE = ("stage1.lr", "stage1.weight_decay", "stage2.lr", "stage2.weight_decay", "stage2.lr_factor")


def check_values(cfg: DictConfig) -> None:
    """Refuse what no part need be known for.

    Args:
        cfg: Composed.

    Raises:
        InputError: names the key, its value, and what it must be.
    """
    refuse_unknown(cfg, {f.name for f in fields(Config)}, "")
    check_seed(cfg.seed)
    nearest_factor([1], cfg.dataset["if"])  # before stage 2's settings, which are looked up by it
    for key, allowed in {"resume": ("auto", "off"), "predictions": KEPT}.items():
        if cfg[key] not in allowed:
            raise InputError(f"{key}={cfg[key]} must be {' or '.join(allowed)}")
    for stage in ("stage1", "stage2"):
        for part in ("loss", "sampler", "optimizer", "schedule"):
            if isinstance(cfg[stage].get(part), str):
                raise InputError(
                    f"{stage}.{part}={cfg[stage][part]}: a part is chosen by its group, "
                    f"{part}@{stage}.{part}={cfg[stage][part]}"
                )
    for key, least in WHOLE.items():
        value = OmegaConf.select(cfg, key)
        if value is not None and (not _number(value, int) or value < least):
            raise InputError(f"{key}={value} must be a whole number >= {least}")
    for key in NOT_NEGATIVE:
        value = OmegaConf.select(cfg, key)
        if value is not None and not (_number(value, int | float) and value >= 0 and isfinite(value)):
            raise InputError(f"{key}={value} must be a number >= 0")
    if OmegaConf.select(cfg, "dataset.source._target_") in OF_A_FOLDER:
        folder_of(cfg.dataset.root)


def _number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def refuse_unknown(node: DictConfig, known: set[str], path: str) -> None:
    """Refuse a key that nothing reads.

    Args:
        node: Of the configuration.
        known: The keys that are read.
        path: The node's, for the message.

    Raises:
        InputError: names the key, and the nearest one there is.
    """
    for key in node:
        if isinstance(key, str) and not key.startswith("_") and key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            cure = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(known)) or 'none'}"
            raise InputError(f"unknown setting {path}{'.' if path else ''}{key}; {cure}")


class ValueCheck(Callback):
    """Hydra's callback that refuses a run by its values, before Hydra makes the folder."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check one job; of a multirun each does it by itself, and leaves its error.txt.

        Raises:
            SystemExit: with what is wrong said.
        """
        try:
            check_values(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]))  # type: ignore[arg-type]
        except (InputError, OmegaConfBaseException) as error:
            print(error, file=sys.stderr)
            raise SystemExit(1) from None  # Hydra warns of any other exception, and goes on
