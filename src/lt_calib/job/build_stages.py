"""Both stages of a job, from the composed configuration."""

import inspect
import logging
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from lt_calib.dataset.data import Data
from lt_calib.errors import InputError
from lt_calib.job.build_features import build_pretrained
from lt_calib.job.parts import OfFeatures, Stage
from lt_calib.job.prior import asked_prior, check_augmentation, check_weights, fixed_prior, labels_moved, resolve_prior
from lt_calib.job.untrained import stays_random, tell_empty_phases
from lt_calib.model.standardize import Standardize
from lt_calib.sampler.base import EpochSampler
from lt_calib.seed import global_seed, seeded
from lt_calib.settings.check import make
from lt_calib.settings.schema import plain
from lt_calib.settings.table import settings_for
from lt_calib.training.batch_augment import BatchAugment

log = logging.getLogger(__name__)


def build_network(cfg: DictConfig, data: Data, seed: int | None = None) -> tuple[nn.Module, nn.Module]:
    """Build the backbone and stage 1's classifier; their weights come from the job's seed."""
    with seeded(cfg.seed if seed is None else seed):
        if data.num_features is not None:
            table = Standardize(data.num_features, cfg.features.standardize)
            return table, make(cfg, "model.classifier", data.num_features, data.num_classes)
        backbone = make(cfg, "model.backbone", in_channels=data.image_shape[0])
        features = getattr(backbone, "num_features", None)
        if not isinstance(features, int):
            raise InputError(
                f"model.backbone {type(backbone).__name__} has no num_features, the number of what it computes for an "
                "image: give the class that attribute, or take model=torchvision model.name=NAME"
            )
        if cfg.stage1.get("pretrained"):
            backbone = build_pretrained(cfg, data, backbone)
        elif "adapter" in cfg.stage1:
            raise InputError("stage1.adapter is for a pretrained network: set stage1.pretrained=true")
        return backbone, make(cfg, "model.classifier", features, data.num_classes)


def build_sampler_and_loss(cfg: DictConfig, stage: str, data: Data) -> tuple[EpochSampler, nn.Module]:
    """Build a stage's sampler, and its loss with the prior that the loss is to correct for.

    Raises:
        InputError: two parts would correct for the same imbalance, or one for frequencies that are not fixed.
    """
    node, allowed = cfg[stage], cfg.allow_double_correction
    facts = {"num_classes": data.num_classes, "seed": cfg.seed, "stage": int(stage[-1])}
    sampler = make(cfg, f"{stage}.sampler", data.targets("train"), **facts)
    asked, drawn = asked_prior(node.loss), fixed_prior(sampler, node.max_epochs)
    if asked is not None and drawn is None:
        raise InputError(
            f"{stage}: the sampler's class frequencies change over the epochs, and the loss corrects for fixed "
            "ones; take loss dynamic_balanced_softmax, or another sampler"
        )
    prior = resolve_prior(asked or "sampler", sampler.prior, data.class_counts, allowed)
    loss = make(cfg, f"{stage}.loss", data.class_counts, prior=prior)
    if not allowed:
        check_weights(loss, drawn, data.class_counts)
    return sampler, loss


def optimization(cfg: DictConfig, stage: str) -> dict[str, Any]:
    """Build a stage's optimizer and schedule, to be called later, and the seed of what its network draws."""
    parts = {part: make(cfg, f"{stage}.{part}") for part in ("optimizer", "schedule")}
    kind = parts["optimizer"].func
    if inspect.isclass(kind) and not issubclass(kind, torch.optim.SGD) and cfg[stage].lr >= 0.05:
        log.warning(
            "%s.lr=%g is a rate of SGD's, and the optimizer is %s, which usually takes 0.001: set %s.lr and "
            "%s.weight_decay.", stage, cfg[stage].lr, kind.__name__, stage, stage,
        )  # fmt: skip
    return {**parts, "seed": cfg.seed}


def try_optimization(module: Any, steps: int) -> None:
    """Build optimizer and schedule once, so that a setting out of its range is found before anything trains.

    Raises:
        InputError: the optimizer takes no ``lr`` and ``weight_decay``, or the schedule wants what is not there.
    """
    if not module.max_epochs:
        return
    name = f"stage{module.stage}"
    if not any(group["params"] for group in module.param_groups()):
        raise InputError(f"{name} has no parameter to train: set {name}.max_epochs=0")
    if module.lr == 0:
        log.warning("%s.lr=0 leaves all weights as they are.", name)
    total = module.max_epochs * (steps if module.schedule_per == "step" else 1)
    try:
        schedule = module.build_schedule(module.build_optimizer(), total)
    except TypeError as error:
        raise InputError(f"{name}.optimizer or {name}.schedule cannot be built: {error}") from error
    if isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
        raise InputError(f"{name}.schedule=ReduceLROnPlateau watches a metric: take one that goes by epochs or steps")


def build_stage1(cfg: DictConfig, config: dict[str, Any], data: Data, folder: Path, precision: str) -> Stage:
    """Build stage 1, with its augmentation."""
    backbone, classifier = build_network(cfg, data)
    sampler, loss = build_sampler_and_loss(cfg, "stage1", data)
    module = make(cfg, "stage1", backbone, classifier, loss, **optimization(cfg, "stage1"))
    if getattr(module, "sam_rho", 0) and precision == "16-mixed":
        raise InputError("stage1.sam_rho needs trainer.precision=bf16-mixed or 32-true: it scales no gradients")
    steps = -(-len(sampler) // data.batch_size)
    try_optimization(module, steps)
    augment, partner = build_augment(cfg, data)
    moved = labels_moved(cfg.augment, sampler, partner, data.class_counts, module.max_epochs)
    if moved and not cfg.allow_double_correction:
        name, drawn = cfg.augment._target_.rsplit(".", 1)[-1], fixed_prior(sampler, module.max_epochs)
        check_augmentation(name, loss, asked_prior(cfg.stage1.loss), drawn, data.class_counts)
    given = cfg.stage1.ckpt_path
    if not given:
        refuse_random(cfg, module, data)
        mixing = [augment.augment, getattr(augment.augment, "then", None)] if augment else []
        tell_empty_phases(module, (*module.loss.modules(), sampler, partner, *mixing), steps)
    return Stage(
        "stage1", module, sampler, data, Path(given or folder / "stage1.ckpt"), augment, partner, given is not None,
        settings_for(config, ("stage1",), without=("length",)), plain(cfg.stage1.loss),
    )  # fmt: skip


def refuse_random(cfg: DictConfig, module: Any, data: Data) -> None:
    """Refuse a stage 1 whose backbone, or whose classifier without a stage 2, stays as it was drawn.

    Raises:
        InputError: says which, and what trains it.
    """
    other = (cfg.seed + 1) % 2**32
    cure = "set stage1.max_epochs and stage1.lr above 0 without freezing all of it, or stage1.ckpt_path=FILE"
    if stays_random(module, module.backbone, lambda: build_network(cfg, data, other)[0]):
        raise InputError(f"stage1 trains nothing of the backbone, whose weights are drawn at random: {cure}")
    if stays_random(module, module.classifier, lambda: build_network(cfg, data, other)[1]):
        if "_target_" not in cfg.stage2:
            raise InputError(f"stage1 trains nothing of the classifier, whose weights are drawn at random: {cure}")
        log.warning("Stage 1 trains nothing of the classifier: its numbers are those of a random one.")


def build_augment(cfg: DictConfig, data: Data) -> tuple[BatchAugment | None, EpochSampler | None]:
    """Build stage 1's augmentation as a callback, and the sampler of its partners; nothing where there is none."""
    if "_target_" not in cfg.augment:
        return None, None
    then = cfg.augment.get("then")  # an augmentation that follows the first one
    partner = None
    path = "augment.then" if then else "augment"
    if (then or cfg.augment).get("partner") is not None:
        facts: dict[str, Any] = {"num_classes": data.num_classes, "seed": cfg.seed, "stage": 1, "purpose": "partner"}
        partner = make(cfg, f"{path}.partner", data.targets("train"), **facts)
    following = make(cfg, "augment.then", class_counts=data.class_counts) if then else None
    augment = make(cfg, "augment", class_counts=data.class_counts, then=following)
    if data.num_features is not None and not getattr(augment, "of_features", False):
        raise InputError(
            f"augment {type(augment).__name__} is of images, and stage 1 is trained on features: take augment=mixup, "
            "or features.views=4, say, for views of the images before the network"
        )
    return BatchAugment(augment, num_classes=data.num_classes, seed=cfg.seed, stage=1), partner


def build_stage2(cfg: DictConfig, stage1: Stage, folder: Path) -> Stage:
    """Build stage 2 on stage 1's backbone and classifier; what it needs of their weights it takes when it begins."""
    data, before, allowed = stage1.data, stage1.module.classifier, cfg.allow_double_correction
    corrects = any(getattr(part, "corrects", False) for part in stage1.module.loss.modules())
    epochs = stage1.module.max_epochs
    moved = labels_moved(cfg.augment, stage1.sampler, stage1.partner, data.class_counts, epochs) and not allowed
    about: dict[str, Any] = {
        "num_classes": data.num_classes,
        "prior": None if moved else fixed_prior(stage1.sampler, epochs),
        "corrected": corrects and not allowed,
    }

    def classifier_of(seed: int) -> nn.Module:
        with seeded(global_seed(seed, "weights", stage=2)):
            return make(cfg, "stage2.classifier", before, **about)

    classifier = classifier_of(cfg.seed)
    sampler, loss = build_sampler_and_loss(cfg, "stage2", data)
    settings = {**optimization(cfg, "stage2"), "stage1_classifier": before}
    module = make(cfg, "stage2", stage1.module.backbone, classifier, loss, **settings)
    steps = -(-len(sampler) // data.batch_size)
    try_optimization(module, steps)
    # What has ``prepare`` may take its weights there, from features.
    if not hasattr(classifier, "prepare") and stays_random(module, classifier, lambda: classifier_of(cfg.seed + 1)):
        raise InputError(
            f"stage2.classifier {type(classifier).__name__} begins from weights that are drawn at random, and stage 2 "
            "trains none of them: set stage2.max_epochs and stage2.lr above 0, or stage2=none"
        )
    tell_empty_phases(module, (*module.loss.modules(), sampler), steps)
    of_features = None
    if cfg.resample.get("space") == "features":
        resample = partial(make(cfg, "resample"), seed=cfg.seed)
        of_features = OfFeatures(resample, partial(build_sampler_and_loss, cfg, "stage2"))
    return Stage(
        "stage2", module, sampler, data, folder / "stage2.ckpt", loss_settings=plain(cfg.stage2.loss), before=before,
        of_features=of_features,
    )  # fmt: skip
