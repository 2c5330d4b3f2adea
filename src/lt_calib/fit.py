"""Train one stage, or take it from where it is."""

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lt_calib import build
from lt_calib.cache.share import made_by
from lt_calib.checkpoint import load_stage, save_stage
from lt_calib.config import flatten
from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.errors import InputError
from lt_calib.metric.evaluate import evaluate
from lt_calib.ranks import rank
from lt_calib.sampler.base import EpochSampler
from lt_calib.stage.base import StageModule
from lt_calib.stage.evaluate import predictions_of
from lt_calib.stage.finite import StopAtNonFinite
from lt_calib.stage.history import History
from lt_calib.stage.progress import ProgressBar
from lt_calib.stage.resume import Resume
from lt_calib.stage.told import EndWhenTold

log = logging.getLogger("lt_calib.run")
OF_TRAINING = ("batch_size", "mean", "std", "padding", "flip")  # settings of dataset, beside which pictures they are


def fit_or_load(
    cfg: DictConfig,
    data: LongTailedDataModule,
    module: StageModule,
    sampler: EpochSampler,
    ckpt_path: Path,
    logger: Any,
    metrics: Any,
) -> dict[str, Any]:
    """Train a stage and write its checkpoint, or load the one that is there.

    A stage that was killed goes on after the last epoch that it finished.

    Args:
        cfg: The composed configuration.
        data: What is trained on.
        module: The stage; it is trained in place.
        sampler: What the stage draws.
        ckpt_path: Of the stage's checkpoint.
        logger: Takes the rows of the history.
        metrics: Name -> function, for the validation part.

    Returns:
        ``{"epochs", "seconds", "images_per_second", "history", ...}``.
    """
    given = module.stage == 1 and cfg.stage1.ckpt_path is not None
    if given or ckpt_path.exists():
        about = load_stage(ckpt_path, module.backbone, module.classifier, data.facts)
        if given:
            refuse_other_method(ckpt_path, about.get("method", {}), method_of(cfg))
        for row in about["history"]:
            logger.log_epoch(row)
        log.info("Stage %d is taken from %s (%d epochs).", module.stage, ckpt_path, about["epochs"])
        return about

    about = fit(cfg, data, module, sampler, ckpt_path.with_suffix(".part.ckpt"), logger, metrics)
    if rank() == 0:
        save_stage(ckpt_path, module.backbone, module.classifier, about)
        ckpt_path.with_suffix(".part.ckpt").unlink(missing_ok=True)
    return about


def fit(
    cfg: DictConfig,
    data: LongTailedDataModule,
    module: StageModule,
    sampler: EpochSampler,
    part_path: Path,
    logger: Any,
    metrics: Any,
) -> dict[str, Any]:
    """Train a stage, from ``part_path`` where a killed process left one; see :func:`fit_or_load`."""
    bar = ProgressBar(f"stage {module.stage}")

    def report(row: dict[str, Any]) -> None:
        bar.epoch(row)
        logger.log_epoch(row)

    history = History(module.stage, lambda logits, targets: evaluate(logits, targets, data.groups, metrics), report)
    augment, partner = build.build_augment(cfg, data) if module.stage == 1 else ([], None)
    resume = Resume(part_path, history, made_by(cfg))
    if module.max_epochs > 0:
        data.draw_with(sampler, partner)
        callbacks = [history, bar, *augment, StopAtNonFinite(), resume, EndWhenTold()]
        trainer = build.build_trainer(cfg, module.max_epochs, callbacks)
        trainer.fit(module, datamodule=data)
    return {
        "epochs": module.max_epochs,
        "seconds": history.seconds,
        "images_per_second": history.images_per_second,
        "history": history.rows,
        "data": data.facts,
        "made_by": resume.made_by,
        "method": method_of(cfg) if module.stage == 1 else {},
    }


def method_of(cfg: DictConfig) -> dict[str, Any]:
    """List the settings of stage 1's training, as plain values, but for its length and what data.facts says."""
    plain: Any = OmegaConf.to_container(cfg)
    data = {k: v for k, v in plain["dataset"].items() if k in OF_TRAINING}
    of_pictures = (plain["resample"] or {}).get("space") != "features"  # which are stage 2's
    parts = {k: plain[k] or {} for k in ("augment", "stage1", "model", *(["resample"] if of_pictures else []))}
    flat = flatten({"seed": cfg.seed, "dataset": data, **parts})
    return {k: v for k, v in flat.items() if k != "stage1.ckpt_path" and not k.endswith(".max_epochs")}


def refuse_other_method(path: Path, kept: dict[str, Any], here: dict[str, Any]) -> None:
    """Refuse a given stage 1 that was trained otherwise than the command says: results.json would tell of another one.

    What stage 2 corrects for depends on it too. A setting that only one of both versions has is passed over, unless it
    is a part's name; so is all of it where the checkpoint says nothing.

    Raises:
        InputError: with the settings that differ.
    """
    of_both = {k for k in kept.keys() & here.keys() if kept[k] != here[k]}
    parts = {k for k in kept.keys() ^ here.keys() if k.endswith("._target_")}
    if kept and (of_both or parts):
        differ = [f"{k} was {kept.get(k, 'not set')}, here it is {here.get(k, 'not set')}" for k in of_both | parts]
        raise InputError(
            f"checkpoint {path} is of a stage 1 that was trained otherwise than this command says: "
            f"{'; '.join(sorted(differ))}. Set them as it was trained with"
        )


def predict(cfg: DictConfig, data: LongTailedDataModule, module: StageModule) -> dict[str, Any]:
    """Compute logits and targets of the test set, and of the validation part where there is one."""
    splits = [split for split in ("val", "test") if split in data.splits]
    return {split: predictions_of(build.build_trainer(cfg, 0, []), module, data, split) for split in splits}
