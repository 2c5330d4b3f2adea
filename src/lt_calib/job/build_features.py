"""A frozen network in front of the data: stage 1 trains a classifier on its features."""

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import nn

from lt_calib.cache.features import FeatureStore
from lt_calib.dataset.data import Data
from lt_calib.dataset.embedded import Embedded
from lt_calib.errors import InputError
from lt_calib.model.frozen import Frozen, Input, Pretrained
from lt_calib.model.standardize import Standardize
from lt_calib.seed import seeded
from lt_calib.settings.check import make
from lt_calib.training.trainer import TrainerSettings

log = logging.getLogger(__name__)

PRETRAINED = {"weights", "checkpoint", "pretrained"}
UNUSED = {"standardize": "one", "views": 0, "size": None}  # what conf/config.yaml has


def build_network(cfg: DictConfig, in_channels: int, seed: int) -> nn.Module:
    """Build the network; what it draws comes from the seed."""
    with seeded(seed):
        return make(cfg, "model.backbone", in_channels=in_channels)


def build_frozen(cfg: DictConfig, channels: int) -> Frozen:
    """Build the network that is frozen.

    Raises:
        InputError: its weights are drawn at random, or it does not say what it was trained to see.
    """
    return Frozen(refuse_drawn(cfg, build_network(cfg, channels, 0), channels), cfg.features.size)


def refuse_drawn(cfg: DictConfig, network: nn.Module, channels: int) -> nn.Module:
    """Refuse weights that another seed draws otherwise, in a stage 1 that goes on from what was learned before.

    Raises:
        InputError: they are.
    """
    other = build_network(cfg, channels, 1)
    if any(not one.equal(two) for one, two in zip(network.parameters(), other.parameters(), strict=True)):
        raise InputError(
            f"this stage 1 goes on from what {type(network).__name__} has learned, whose weights are drawn at random: "
            "give it pretrained ones (model.weights=DEFAULT, model.pretrained=true) or a file of them "
            "(model.checkpoint=FILE)"
        )
    return network


def refuse_normalized(data: Data) -> None:
    """Refuse images that are normalized for another network than the pretrained one, which does so itself.

    Raises:
        InputError: with what to set.
    """
    if list(data.transform.mean) != [0] * len(data.transform.mean) or set(data.transform.std) != {1}:
        raise InputError(
            "the network normalizes images itself, as its weights were trained; set transform.mean=[0,0,0] "
            "transform.std=[1,1,1], as +experiment=frozen_balanced_softmax does"
        )


def build_pretrained(cfg: DictConfig, data: Data, network: nn.Module) -> nn.Module:
    """Put a pretrained network's own size and normalization in front of it, and adapters into it where asked for."""
    refuse_normalized(data)
    return adapted(cfg, Pretrained(refuse_drawn(cfg, network, data.image_shape[0]), cfg.features.size))


def adapted(cfg: DictConfig, backbone: nn.Module) -> nn.Module:
    """Put stage 1's adapters into a backbone, where it has some."""
    return make(cfg, "stage1.adapter", backbone) if "adapter" in cfg.stage1 else backbone


def embedded(cfg: DictConfig, data: Data, trainer: TrainerSettings) -> Data:
    """Put the frozen network in front of the data; data that are features stay as they are.

    Raises:
        InputError: settings that do not fit together.
    """
    frozen, table = cfg.stage1.get("frozen", False), data.num_features is not None
    if not frozen and not table:
        read = {"size"} if cfg.stage1.get("pretrained") else set()
        unread = [key for key, value in cfg.features.items() if value != UNUSED[str(key)] and key not in read]
        if unread:
            raise InputError(f"features.{unread[0]} is read where the network is frozen: stage1=frozen")
        return data
    if table and cfg.model.backbone is not None:
        raise InputError(f"{data.name} are features already: take model=none, and a network where there are images")
    if not table and cfg.model.backbone is None:
        raise InputError(
            f"{data.name} are images, and model=none: choose a network, model=efficientnet_lite0 or "
            "model=timm model.name=NAME"
        )
    if table and not frozen:
        raise InputError(f"{data.name} are features: set stage1=frozen, which trains a classifier on them")
    if cfg.features.views < 0 or (table and (cfg.features.views or cfg.features.size)):
        raise InputError(f"features.views={cfg.features.views} must be >= 0, and is of images, as features.size is")
    if table:
        return data
    refuse_normalized(data)
    network = build_frozen(cfg, data.image_shape[0])
    kept, wanted = data.image_shape[-1], network.input.size
    if data.listing() and kept < wanted:
        log.warning("Images are read at %d pixels and enlarged to %d for the network: set dataset.size=%d.",
                    kept, wanted, wanted)  # fmt: skip
    root = Path(cfg.cache.root).expanduser() if cfg.cache.root else None
    store = FeatureStore(root, network, trainer.device, trainer.precision)
    return Embedded(data, store.rows, network.num_features, network.facts, cfg.features.views)


def backbone_of(cfg: DictConfig, results: dict[str, Any]) -> tuple[Any, nn.Module | None]:
    """Build what a run's checkpoint holds the backbone's weights of, and the frozen network in front of it.

    Raises:
        InputError: the network's weights are others than the run was trained on.
    """
    shape = results["dataset"]["image_shape"]
    if not cfg.stage1.get("frozen", False):
        for key in PRETRAINED & set(cfg.model.backbone):  # the checkpoint has all weights
            cfg.model.backbone[key] = None
        backbone = make(cfg, "model.backbone", in_channels=shape[0])
        if "pretrained" in results:
            seen = results["pretrained"]
            backbone.input = Input(seen["size"], tuple(seen["mean"]), tuple(seen["std"]), seen["interpolation"])
            backbone = adapted(cfg, Pretrained(backbone))
        return backbone, None
    network = build_frozen(cfg, shape[0]) if len(shape) == 3 else None
    if network is not None and network.sha256 != results["frozen"]["sha256"]:
        raise InputError(
            f"the weights of {network.facts['network']} are others than this run was trained on (SHA-256 "
            f"{network.sha256}, then {results['frozen']['sha256']}): give the file, model.checkpoint in its config.yaml"
        )
    return Standardize(network.num_features if network else shape[0], cfg.features.standardize), network
