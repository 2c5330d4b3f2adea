"""From the composed configuration to the parts of a job."""

import copy
import logging
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_class, instantiate
from lightning import Callback, Trainer
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.nn.functional import one_hot

from lt_calib.config import nearest_factor
from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.errors import InputError
from lt_calib.loss.prior import check_weights, resolve_prior
from lt_calib.sampler.base import EpochSampler
from lt_calib.seed import generator
from lt_calib.stage.batch_augment import BatchAugment
from lt_calib.stage.classifier import ClassifierModule
from lt_calib.stage.evaluate import features_of
from lt_calib.stage.representation import RepresentationModule

log = logging.getLogger(__name__)


def build_logger(cfg: DictConfig, folder: Path) -> Any:
    """Build the logger: group = experiment, tags = data set, imbalance factor, augmentation."""
    config: Any = OmegaConf.to_container(cfg)
    augment = (cfg.augment or {}).get("_target_", "none").split(".")[-1]
    tags = [cfg.dataset.name, f"IF {cfg.dataset['if']:g}", augment]
    return instantiate(cfg.logger)(config=config, folder=folder, group=cfg.experiment, tags=tags)


def build_data(cfg: DictConfig) -> LongTailedDataModule:
    """Build the long-tailed data, load it, and resample its pictures where that is asked for."""
    factor = cfg.dataset["if"]
    data = instantiate(without(cfg.dataset, "if", "recipe"))(imbalance_factor=factor)
    data.setup()
    if "_target_" in cfg.stage2:
        nearest = nearest_factor(list(cfg.dataset.recipe.stage2), factor)
        if nearest != factor:
            log.info("Stage 2's settings are listed for other imbalance factors than %g: those of %g.", factor, nearest)
    if "_target_" in cfg.resample:
        if cfg.resample.space not in ("pixels", "features"):
            raise InputError(f"resample.space={cfg.resample.space} must be 'pixels' or 'features'")
        if cfg.resample.space == "pixels":
            resample(cfg, data, *data.splits["train"])
        elif "_target_" not in cfg.stage2:
            raise InputError("resample.space=features is for stage 2, and there is none: set stage2=crt, say")
    n = data.class_counts
    log.info("%s, IF %g: %d training pictures, %d to %d a class.", data.name, factor, sum(n), max(n), min(n))
    return data


def resample(cfg: DictConfig, data: LongTailedDataModule, images: Tensor, targets: Tensor) -> None:
    """Replace what is trained on by the resampled ``images``, which may be features."""
    data.replace_train(*instantiate(without(cfg.resample, "space"))(images, targets, seed=cfg.seed))


def build_network(cfg: DictConfig, num_classes: int) -> tuple[nn.Module, nn.Module]:
    """Build the backbone and stage 1's classifier; their weights come from the job's global seed."""
    backbone = instantiate(cfg.model.backbone)
    return backbone, instantiate(cfg.model.classifier)(backbone.num_features, num_classes)


def build_sampler_and_loss(cfg: DictConfig, data: LongTailedDataModule, stage: int) -> tuple[EpochSampler, nn.Module]:
    """Build a stage's sampler, and its loss with the prior that the loss is to correct for."""
    node = cfg[f"stage{stage}"]
    targets = data.splits["train"][1]
    sampler = instantiate(node.sampler)(targets, num_classes=data.num_classes, seed=cfg.seed, stage=stage)
    asked, drawn = asked_prior(node.loss), fixed_prior(sampler, node.max_epochs)
    if asked is not None and drawn is None:
        raise InputError(
            f"stage{stage}: the sampler's class frequencies change over the epochs, and the loss corrects for fixed "
            "ones; take loss dynamic_balanced_softmax, or another sampler"
        )
    if asked is not None and stage == 1 and labels_moved(cfg.augment) and not cfg.allow_double_correction:
        raise InputError(
            f"augment {cfg.augment._target_.rsplit('.', 1)[-1]} moves the labels' frequencies away from the sampler's, "
            "which the loss corrects for; take loss@stage1.loss=dynamic_balanced_softmax or, where it is meant, "
            "allow_double_correction=true"
        )
    prior = resolve_prior(asked or "sampler", sampler.prior, data.class_counts, cfg.allow_double_correction)
    loss = instantiate(node.loss)(data.class_counts, prior=prior)
    if not cfg.allow_double_correction:
        check_weights(loss, drawn, data.class_counts)
    return sampler, loss


def fixed_prior(sampler: EpochSampler, max_epochs: int) -> Tensor | None:
    """Return the class frequencies that a sampler draws, None where the last epoch's are not the first's."""
    sampler.set_epoch(max(0, max_epochs - 1))
    last = sampler.prior
    sampler.set_epoch(0)
    return last if torch.allclose(last, sampler.prior) else None


def labels_moved(node: DictConfig) -> bool:
    """Tell whether an augmentation gives the labels other frequencies: by another sampler's partners, or by rule."""
    if "_target_" not in node:
        return False
    by_rule = getattr(get_class(node._target_), "moves_labels", False)
    return by_rule or "partner" in node or labels_moved(node.get("then") or OmegaConf.create())


def asked_prior(node: DictConfig) -> str | None:
    """Return the setting ``prior`` of a loss or of the loss that it wraps; None where it corrects for no fixed one."""
    if "prior" in node:
        return node.prior
    return asked_prior(node.loss) if "loss" in node else None


def build_stage1(cfg: DictConfig, backbone: nn.Module, classifier: nn.Module, loss: nn.Module) -> RepresentationModule:
    """Build stage 1."""
    return instantiate(without(cfg.stage1, "loss", "sampler", "ckpt_path"))(backbone, classifier, loss)


def build_stage2(
    cfg: DictConfig, data: LongTailedDataModule, backbone: nn.Module, classifier: nn.Module
) -> tuple[ClassifierModule, EpochSampler, LongTailedDataModule]:
    """Build stage 2 on stage 1's backbone and classifier, which it changes, and what it is trained on."""

    def features(split: str) -> Any:
        return lambda: features_of(build_trainer(cfg, 0, []), backbone, data, split)

    sampler1, loss1 = build_sampler_and_loss(cfg, data, 1)
    allowed = cfg.allow_double_correction
    corrects = any(getattr(part, "corrects", False) for part in loss1.modules())
    new = finish(
        instantiate(cfg.stage2.classifier),
        classifier,
        num_classes=data.num_classes,
        prior=None if labels_moved(cfg.augment) and not allowed else fixed_prior(sampler1, cfg.stage1.max_epochs),
        corrected=corrects and not allowed,
        train_features=features("train"),
        val_features=features("val") if "val" in data.splits else None,
    )
    if cfg.resample.get("space") == "features":
        data = copy.copy(data)  # stage 1's counts stay the run's
        resample(cfg, data, *features("train")())
    sampler, loss = build_sampler_and_loss(cfg, data, 2)
    settings = without(cfg.stage2, "loss", "sampler", "classifier")
    return instantiate(settings)(backbone, new, loss, stage1_classifier=classifier), sampler, data


def check_stage2(cfg: DictConfig, data: LongTailedDataModule, backbone: nn.Module, classifier: nn.Module) -> None:
    """Build stage 2 on copies and throw it away, so that a wrong setting is found before stage 1 trains."""
    logging.disable(logging.INFO)  # what it says is said when it is built in earnest
    try:
        build_stage2(cfg, data, *copy.deepcopy((backbone, classifier)))
    finally:
        logging.disable(logging.NOTSET)


def build_augment(cfg: DictConfig, data: LongTailedDataModule) -> tuple[list[BatchAugment], EpochSampler | None]:
    """Build stage 1's augmentation as a callback, and the sampler of its partners; nothing where there is none."""
    if "_target_" not in cfg.augment:
        return [], None
    partner = None
    then = cfg.augment.get("then")  # an augmentation that follows the first one
    sampler = (then or cfg.augment).get("partner")
    if sampler is not None:
        partner = instantiate(sampler)(
            data.splits["train"][1], num_classes=data.num_classes, seed=cfg.seed, stage=1, purpose="partner"
        )
    augment = finish(instantiate(without(cfg.augment, "partner", "then")), class_counts=data.class_counts)
    if then is not None:
        augment.then = finish(instantiate(without(then, "partner")), class_counts=data.class_counts)
    return [BatchAugment(augment, num_classes=data.num_classes, seed=cfg.seed, stage=1)], partner


def training_pictures(cfg: DictConfig, data: LongTailedDataModule, number: int = 24) -> Any:
    """Draw the first batch of stage 1 as the network sees it in the middle of training.

    Returns:
        Images (B, H, W, 3) float in [0, 1], targets (B, K), class names; of BBN's pairs the first picture.
    """
    callbacks, partner = build_augment(cfg, data)
    data.draw_with(build_sampler_and_loss(cfg, data, 1)[0], partner)
    loader = data.train_dataloader()
    epoch = cfg.stage1.max_epochs // 2
    loader.set_epoch(epoch)
    batch = [x[:number] for x in next(iter(loader))]
    if callbacks:
        augment = callbacks[0]
        augment.set_epoch(epoch)
        augment.apply(batch, generator(cfg.seed, "augment", stage=1, epoch=epoch, device=batch[0].device))
    images, targets = batch[:2]
    images = images[:, :3]
    if targets.ndim == 1:
        targets = one_hot(targets, data.num_classes).float()
    return data.as_pictures(images).cpu(), targets.cpu(), data.class_names


def build_trainer(cfg: DictConfig, max_epochs: int, callbacks: list[Callback]) -> Trainer:
    """Build the trainer of one stage."""
    return instantiate(without(cfg.trainer, "compile"))(max_epochs=max_epochs, callbacks=callbacks)


def finish(part: Any, *args: Any, **facts: Any) -> Any:
    """Complete a part that its yaml leaves partial, with those of the run-time facts that it names."""
    if not isinstance(part, partial):
        return part
    names = signature(part).parameters
    return part(*args, **{k: v for k, v in facts.items() if k in names})


def without(node: DictConfig, *keys: str) -> DictConfig:
    """Copy a node without some of its keys."""
    return OmegaConf.masked_copy(node, [str(k) for k in node if k not in keys])
