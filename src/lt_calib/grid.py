"""A grid over stage 2's settings in one pass: ``+grid=eps``; grid.json, grid.npz and the points' map."""

import json
import logging
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from lt_calib import build
from lt_calib.checkpoint import save_stage, write_atomically
from lt_calib.config import RESULTS_SCHEMA
from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.errors import InputError
from lt_calib.figure.grid_map import SHOWN, grid_map
from lt_calib.figure.style import save
from lt_calib.fit import fit
from lt_calib.metric.bootstrap import intervals_of_many
from lt_calib.metric.evaluate import evaluate
from lt_calib.metric.per_class import per_class
from lt_calib.ranks import rank
from lt_calib.results import write_json
from lt_calib.sampler.base import EpochSampler
from lt_calib.stage.classifier import ClassifierModule
from lt_calib.stage.evaluate import predictions_of
from lt_calib.stage.grid import GridModule

log = logging.getLogger("lt_calib.run")

OF_THE_STAGE = ("lr_factor", "weight_decay")
Point = dict[str, Any]


def points_of(cfg: DictConfig) -> list[Point]:
    """List the grid's points, the experiment's own settings first.

    Raises:
        InputError: a key that is no setting of stage 2's loss, rate or decay, a value that is no list, or a choice that
            needs a validation part.
    """
    if "_target_" not in cfg.stage2 or cfg.stage2.max_epochs == 0:
        raise InputError("+grid is over the settings of a stage 2 that is trained, and there is none: set stage2=awabs")
    axes: Any = {key: values for key, values in OmegaConf.to_container(cfg.grid).items() if key != "select"}  # type: ignore[union-attr]
    own: Point = {}
    for key, values in axes.items():
        if key not in OF_THE_STAGE and (key not in cfg.stage2.loss or key.startswith("_") or key == "prior"):
            there = [*OF_THE_STAGE, *(k for k in cfg.stage2.loss if not str(k).startswith("_") and k != "prior")]
            raise InputError(f"grid.{key} is no setting of this stage 2; there are: {', '.join(map(str, there))}")
        if not isinstance(values, list) or not values:
            raise InputError(f"grid.{key}={values} must be a list of values, [0.1, 0.2] say")
        own[key] = cfg.stage2[key] if key in OF_THE_STAGE else cfg.stage2.loss[key]
    if cfg.grid.get("select") not in (None, "nll"):
        raise InputError(f"grid.select={cfg.grid.select} must be nll, or null for the experiment's own settings")
    if cfg.trainer.precision == "16-mixed":
        raise InputError(
            "+grid needs trainer.precision=bf16-mixed or 32-true: 16-mixed has one scale for the gradients of all "
            "points, and skips the step of all where one overflows"
        )
    if not SHOWN.keys() & set(cfg.metric) or (cfg.grid.get("select") and "nll" not in cfg.metric):
        raise InputError(
            "+grid is chosen from and drawn by metrics that are not measured: add nll, or with grid.select=null one of "
            f"{', '.join(SHOWN)}, to metric={list(cfg.metric)}"
        )
    if cfg.grid.get("select") and not cfg.dataset.val_per_class:
        raise InputError(
            "grid.select=nll chooses by the held-out validation part, and there is none: set "
            "dataset.val_per_class=200 (20 for CIFAR-100), say"
        )
    every = (dict(zip(axes, values, strict=True)) for values in product(*axes.values()))
    return [own, *(p for p in every if p != own and not _out_of_order(own | p, cfg))]


def _out_of_order(point: Point, cfg: DictConfig) -> bool:
    head, tail = (point.get(key, cfg.stage2.loss.get(key)) for key in ("eps_head", "eps_tail"))
    return head is not None and tail is not None and tail > head


def at_point(cfg: DictConfig, point: Point) -> DictConfig:
    """Return the configuration with stage 2 at one point's settings."""
    changed = OmegaConf.create(OmegaConf.to_container(cfg))
    for key, value in point.items():
        node = changed.stage2 if key in OF_THE_STAGE else changed.stage2.loss
        node[key] = value
    return changed  # type: ignore[return-value]


def build_losses(cfg: DictConfig, data: LongTailedDataModule, points: list[Point]) -> list[torch.nn.Module]:
    """Build each point's loss, and refuse one that cannot stand in a stack."""
    logging.disable(logging.INFO)
    try:
        losses = [build.build_sampler_and_loss(at_point(cfg, point), data, 2)[1] for point in points]
    finally:
        logging.disable(logging.NOTSET)
    changing = [type(part).__name__ for part in losses[0].modules() if hasattr(part, "set_epoch")]
    if changing:
        raise InputError(f"+grid cannot hold {changing[0]}, which changes with the epoch; run its points as a multirun")
    return losses


def fit_grid(
    cfg: DictConfig,
    data: LongTailedDataModule,
    stage2: ClassifierModule,
    sampler: EpochSampler,
    folder: Path,
    logger: Any,
    metrics: Any,
    stage1: dict[str, tuple[Tensor, Tensor]],
) -> dict[str, Any]:
    """Train all points in one pass; write grid.json, grid.npz and last the chosen point's stage2.ckpt.

    A point whose loss, weights or logits are not finite has ``"diverged"``, the epoch, in the place of its results.

    Args:
        cfg: The composed configuration.
        data: What stage 2 is trained on.
        stage2: At the experiment's own settings; the chosen point's weights go into its classifier.
        sampler: Stage 2's.
        folder: The run's.
        logger: Takes the rows of the history.
        metrics: Name -> function.
        stage1: Stage 1's predictions of each split.

    Returns:
        What :func:`lt_calib.fit.fit_or_load` returns, and the chosen ``"point"``.

    Raises:
        ValueError: the experiment's own settings diverged, and no other point is to be chosen.
    """
    points = points_of(cfg)
    losses = build_losses(cfg, data, points)
    full = [{"lr_factor": stage2.lr_factor, "weight_decay": stage2.weight_decay} | point for point in points]
    module = GridModule(stage2, losses, [p["lr_factor"] for p in full], [p["weight_decay"] for p in full])
    log.info(
        "Grid: %d points of stage 2 in one pass, the experiment's own first; what has eps_tail > eps_head is none. The "
        "loss that is shown is their mean.",
        len(points),
    )
    part_path = folder / "stage2.part.ckpt"
    about = fit(cfg, data, module, sampler, part_path, logger, metrics)

    if rank() > 0:
        return about
    start = time.perf_counter()
    logits: dict[str, list[Tensor]] = {}
    results: list[dict[str, Any]] = [{"point": k, "settings": point} for k, point in enumerate(points)]
    diverged = {k: epoch for k, epoch in enumerate(module.diverged.tolist()) if epoch}
    for split in (s for s in ("val", "test") if s in data.splits):
        features, _ = predictions_of(build.build_trainer(cfg, 0, []), module.cpu(), data, split)
        module.cpu()
        logits[split] = [module.point_logits(k, features) for k in range(len(points))]
        diverged = {k: about["epochs"] for k, z in enumerate(logits[split]) if not z.isfinite().all()} | diverged
    well = [k for k in range(len(points)) if k not in diverged]
    for split, every in logits.items():
        for k in well:
            results[k][split] = evaluate(every[k], data.splits[split][1], data.groups, metrics)
    targets = data.splits["test"][1]
    intervals_of = intervals_of_many([logits["test"][k] for k in well], targets) if well else []
    for k, intervals in zip(well, intervals_of, strict=True):
        probs = torch.softmax(logits["test"][k], dim=1)
        results[k] |= {"test_intervals": intervals, "test_per_class": per_class(probs, targets)}
    evaluation_seconds = time.perf_counter() - start
    for k, epoch in diverged.items():
        results[k] |= {"diverged": epoch}
        log.warning("Grid: point %d diverged in epoch %d and has no result: %s", k, epoch, points[k])
    chosen: int | None = None if 0 in diverged else 0
    if cfg.grid.get("select") and well:
        chosen = min(well, key=lambda k: results[k]["val"]["nll"])
        log.info("Grid: point %d has the least NLL on the validation part: %s", chosen, points[chosen])

    arrays: dict[str, Any] = {
        "point_logits": np.stack([z.clamp(-65504, 65504).half().numpy() for z in logits["test"]]),
        "stage1_test_logits": stage1["test"][0].half().numpy(),
        "test_targets": targets.numpy(),
    }
    write_atomically(folder / "grid.npz", lambda stream: np.savez(stream, **arrays))
    kept = {"schema": RESULTS_SCHEMA, "chosen": chosen, "select": cfg.grid.get("select"), "points": results}
    times = {"seconds": round(about["seconds"], 3), "evaluation_seconds": round(evaluation_seconds, 3)}
    write_json(folder / "grid.json", kept | times)
    if chosen is None:
        raise ValueError(
            f"stage 2 diverged at the experiment's own settings in epoch {diverged[0]}. Take a lower stage2.lr; "
            f"{folder / 'grid.json'} has the other points, of which grid.select=nll chooses one"
        )
    module.adopt(chosen)
    about |= {"point": points[chosen]}
    save_stage(folder / "stage2.ckpt", module.backbone, module.classifier, about)
    part_path.unlink(missing_ok=True)
    return about


def read_grid(folder: Path) -> dict[str, Any]:
    """Read grid.json.

    Raises:
        InputError: there is none.
    """
    path = folder / "grid.json"
    if not path.exists():
        raise InputError(f"{path} is not there; a run with +grid=eps, say, leaves one")
    return json.loads(path.read_text())


def draw(folder: Path, results: dict[str, Any]) -> list[Path]:
    """Draw the grid's map into the run's figures."""
    found, data = read_grid(folder), results["dataset"]
    title = f"{results['name']}, {data['name']}, IF {data['imbalance_factor']:g}, test set"
    return save(grid_map(found["points"], found["chosen"], title), folder / "figures" / "grid")[:1]
