"""From the composed configuration to a job: the last room that sees it. Everything is built once, and checked."""

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lt_calib.cache.sources import made_by
from lt_calib.dataset.data import Data
from lt_calib.dataset.long_tail import factor_shown
from lt_calib.errors import InputError
from lt_calib.job.build_cross_fit import build_cross_fit
from lt_calib.job.build_features import embedded
from lt_calib.job.build_grid import build_grid
from lt_calib.job.build_lengths import fill_lengths
from lt_calib.job.build_posthoc import build_posthoc
from lt_calib.job.build_sets import build_sets
from lt_calib.job.build_stages import build_stage1, build_stage2
from lt_calib.job.parts import Grid, Job, Stage
from lt_calib.job.record import record_of
from lt_calib.job.rehearse import rehearse
from lt_calib.logger.none import NoLogger
from lt_calib.measure.binning import bins_of
from lt_calib.settings.check import check_keys, make
from lt_calib.settings.schema import NATURAL, nearest_factor, plain
from lt_calib.settings.table import differing_keys, settings_for
from lt_calib.training.processes import rank
from lt_calib.training.trainer import TrainerSettings, compile_in_place, resolve_precision

log = logging.getLogger(__name__)


def settle(cfg: DictConfig, folder: Path) -> DictConfig:
    """Resolve the configuration, check its keys, and hold it against what the folder has.

    Raises:
        InputError: a key that nothing reads, or a folder that holds a run with other settings.
    """
    cfg = OmegaConf.create(plain(cfg))  # type: ignore[assignment]
    check_keys(cfg)
    # What auto is here is kept: on another machine the run goes on in the same precision, or says that it cannot.
    cfg.trainer.precision = resolve_precision(cfg.trainer.precision, cfg.trainer.accelerator)
    if cfg.stage1.ckpt_path:
        cfg.stage1.ckpt_path = str(Path(cfg.stage1.ckpt_path).expanduser().resolve())  # wherever the run is read from
    path = folder / "config.yaml"
    old: Any = OmegaConf.load(path) if path.exists() else cfg
    if "transform" not in old:
        raise InputError(f"{folder} holds a run of version 0.1.0: python -m lt_calib.convert {folder} writes it anew")
    keys = differing_keys(plain(old), plain(cfg))
    if keys:
        raise InputError(
            f"{folder} holds a run with other settings ({', '.join(keys)}). "
            "Take another folder (hydra.run.dir=FOLDER), or remove that one"
        )
    return cfg


def build(cfg: DictConfig, folder: Path) -> Job:
    """Build a job.

    Args:
        cfg: Settled.
        folder: The run's.

    Raises:
        InputError: a setting, file or device is not as needed.
        ValueError: likewise, from the part that the setting belongs to.
    """
    asked, text = plain(cfg), OmegaConf.to_yaml(cfg)
    logger = build_logger(cfg, asked, folder)
    try:
        trainer: TrainerSettings = make(cfg, "trainer")  # a device that is not there is found before the data are read
        data = embedded(cfg, build_data(cfg), trainer)
        fill_lengths(cfg, data)
        config = plain(cfg)
        metrics = {name: make(cfg, f"metric.{name}") for name in cfg.metric or {}}
        here = made_by(config, trainer.device)
        held_out = "val" in data.splits or cfg.cross_fit != 0

        def parts(data: Data) -> tuple[list[Stage], Grid | None]:
            stage1 = build_stage1(cfg, config, data, folder, trainer.precision)
            stages = [stage1, build_stage2(cfg, stage1, folder)] if "_target_" in cfg.stage2 else [stage1]
            wanted = cfg.grid is not None
            return stages, build_grid(cfg, stages, metrics, trainer.precision, held_out) if wanted else None

        stages, grid = parts(data)
        cross_fit = build_cross_fit(cfg, data, trainer.processes, parts) if cfg.cross_fit else None
        posthoc = build_posthoc(cfg, data, held_out) if "_target_" in cfg.posthoc else None
        if trainer.compile:  # loaded weights run in it too, or they would give other last digits than trained ones
            compile_in_place(stages[0].module.backbone, trainer.device)
        job = Job(
            record_of(asked, data, stages, trainer, bins_of(metrics)), folder, text, data, stages,
            trainer, metrics, logger, here, Path(cfg.cache.root).expanduser() if cfg.cache.root else None,
            cache_settings(config, data, trainer, here), posthoc, grid, cfg.figures,
            cfg.predictions, cross_fit, sets=build_sets(cfg, held_out),
        )  # fmt: skip
        if rank() == 0:
            rehearse(job)
        return job
    except BaseException:
        logger.finish(1)
        raise


def build_logger(cfg: DictConfig, config: dict[str, Any], folder: Path) -> Any:
    """Build the logger: group = experiment, tags = data set, imbalance factor, augmentation."""
    augment = (cfg.augment or {}).get("_target_", "none").split(".")[-1]
    tags = [cfg.dataset.name, f"IF {factor_shown(cfg.dataset['if'])}", augment]
    about: dict[str, Any] = {"config": config, "folder": folder, "group": cfg.experiment, "tags": tags}
    return make(cfg, "logger", **about) if rank() == 0 else NoLogger(**about)


def build_data(cfg: DictConfig) -> Data:
    """Build the long-tailed data, load it, and resample its images where that is asked for."""
    factor = cfg.dataset["if"]
    data = make(cfg, "dataset", imbalance_factor=factor, transform=make(cfg, "transform"))
    data.setup()
    if "_target_" in cfg.stage2:
        nearest = nearest_factor(list(cfg.dataset.recipe.stage2), factor)
        if nearest not in (factor, NATURAL):
            log.info(
                "Stage 2's settings are listed for other imbalance factors than %g: those of %g.",
                data.imbalance_factor, nearest,
            )  # fmt: skip
    if "_target_" in cfg.resample:
        if cfg.resample.space not in ("pixels", "features"):
            raise InputError(f"resample.space={cfg.resample.space} must be 'pixels' or 'features'")
        if cfg.resample.space == "pixels":
            data = data.with_train(*make(cfg, "resample", data.raw("train"), data.targets("train"), seed=cfg.seed))
        elif "_target_" not in cfg.stage2:
            raise InputError("resample.space=features is for stage 2, and there is none: set stage2=crt, say")
    n = data.class_counts
    shown = factor_shown(data.imbalance_factor, data.real_imbalance_factor)
    log.info("%s, IF %s: %d training images, %d to %d per class.", data.name, shown, sum(n), max(n), min(n))
    return data


def cache_settings(
    config: dict[str, Any], data: Data, trainer: TrainerSettings, here: dict[str, str]
) -> dict[str, Any]:
    """Gather all that decides stage 1's weights, as plain values, by which the cache names its entry."""
    held_out = ("measure",) if "val" in data.splits else ()  # then the history has its metrics
    return {
        **settings_for(config, ("stage1", *held_out)),
        "images": data.facts["sha256"],
        "precision": trainer.precision,
        "compile": trainer.compile,
        "processes": trainer.processes,  # each has its own part of a batch, and on CPUs its own batch statistics
        **here,
    }
