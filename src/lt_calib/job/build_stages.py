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
from lt_calib.job.parts import OfFeatures, Stage
from lt_calib.job.prior import asked_prior, check_weights, fixed_prior, labels_moved, resolve_prior
from lt_calib.sampler.base import EpochSampler
from lt_calib.seed import global_seed, seeded
from lt_calib.settings.check import make
from lt_calib.settings.schema import plain
from lt_calib.settings.table import settings_for
from lt_calib.training.batch_augment import BatchAugment

log = logging.getLogger(__name__)


def build_network(cfg: DictConfig, data: Data) -> tuple[nn.Module, nn.Module]:
    """Build the backbone and stage 1's classifier; their weights come from the job's seed."""
    with seeded(cfg.seed):
        backbone = make(cfg, "model.backbone", in_channels=data.image_shape[0])
        features = getattr(backbone, "num_features", None)
        if not isinstance(features, int):
            raise InputError(
                f"model.backbone {type(backbone).__name__} has no num_features, the number of what it computes for an "
                "image: give the class that attribute, or take model=torchvision model.backbone.network=NAME"
            )
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
    if asked is not None and stage == "stage1" and labels_moved(cfg.augment) and not allowed:
        raise InputError(
            f"augment {cfg.augment._target_.rsplit('.', 1)[-1]} moves the labels' frequencies away from the sampler's, "
            "which the loss corrects for; take loss@stage1.loss=dynamic_balanced_softmax or, where it is meant, "
            "allow_double_correction=true"
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
    try_optimization(module, -(-len(sampler) // data.batch_size))
    augment, partner = build_augment(cfg, data)
    given = cfg.stage1.ckpt_path
    return Stage(
        "stage1", module, sampler, data, Path(given or folder / "stage1.ckpt"), augment, partner, given is not None,
        settings_for(config, ("stage1",), without=("length",)), plain(cfg.stage1.loss),
    )  # fmt: skip


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
    return BatchAugment(augment, num_classes=data.num_classes, seed=cfg.seed, stage=1), partner


def build_stage2(cfg: DictConfig, stage1: Stage, folder: Path) -> Stage:
    """Build stage 2 on stage 1's backbone and classifier; what it needs of their weights it takes when it begins."""
    data, before, allowed = stage1.data, stage1.module.classifier, cfg.allow_double_correction
    corrects = any(getattr(part, "corrects", False) for part in stage1.module.loss.modules())
    moved = labels_moved(cfg.augment) and not allowed
    prior = None if moved else fixed_prior(stage1.sampler, stage1.module.max_epochs)
    with seeded(global_seed(cfg.seed, "weights", stage=2)):
        classifier = make(
            cfg,
            "stage2.classifier",
            before,
            num_classes=data.num_classes,
            prior=prior,
            corrected=corrects and not allowed,
        )
    sampler, loss = build_sampler_and_loss(cfg, "stage2", data)
    settings = {**optimization(cfg, "stage2"), "stage1_classifier": before}
    module = make(cfg, "stage2", stage1.module.backbone, classifier, loss, **settings)
    try_optimization(module, -(-len(sampler) // data.batch_size))
    of_features = None
    if cfg.resample.get("space") == "features":
        resample = partial(make(cfg, "resample"), seed=cfg.seed)
        of_features = OfFeatures(resample, partial(build_sampler_and_loss, cfg, "stage2"))
    return Stage(
        "stage2", module, sampler, data, folder / "stage2.ckpt", loss_settings=plain(cfg.stage2.loss), before=before,
        of_features=of_features,
    )  # fmt: skip
