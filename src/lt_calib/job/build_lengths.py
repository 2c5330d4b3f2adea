"""How long a classifier is trained on features where nothing says so."""

from typing import Any

from omegaconf import DictConfig

from lt_calib.dataset.data import Data
from lt_calib.errors import InputError

STEPS, FEWEST, MOST = 1500, 20, 60


def fill_lengths(cfg: DictConfig, data: Data) -> None:
    """Write the number of epochs wherever a stage's ``max_epochs`` is null: by steps, since a short table has few.

    Args:
        cfg: Settled; changed in place.
        data: The training rows, and the batch.

    Raises:
        InputError: the data are no features.
    """
    rows = sum(data.class_counts)
    epochs = min(max(STEPS * data.batch_size // rows, FEWEST), MOST)
    for stage in ("stage1", "stage2"):
        if "max_epochs" in cfg[stage] and cfg[stage].max_epochs is None and data.num_features is None:
            raise InputError(f"{stage}.max_epochs=null is for features of a frozen network; set a whole number >= 0")
        _fill(cfg[stage], epochs)
    cfg.dataset.batch_size = data.batch_size


def _fill(node: Any, epochs: int) -> None:
    """Losses and augmentations that change with the epoch hold the number too."""
    for key, value in node.items():
        if key == "max_epochs" and value is None:
            node[key] = epochs
        elif isinstance(value, DictConfig):
            _fill(value, epochs)
