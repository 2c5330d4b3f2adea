"""The points of ``+grid=...``, from the composed configuration."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from lt_calib.errors import InputError
from lt_calib.figure.grid_map import SHOWN
from lt_calib.job.build_stages import build_sampler_and_loss
from lt_calib.job.parts import Grid, Metrics, Point, Stage
from lt_calib.settings.check import check_keys
from lt_calib.settings.schema import plain

OF_THE_STAGE = ("lr", "lr_factor", "weight_decay")


def build_grid(cfg: DictConfig, stages: Sequence[Stage], metrics: Metrics, precision: str, held_out: bool) -> Grid:
    """Build each point's loss, and refuse what cannot stand in a stack.

    Raises:
        InputError: a key that is no setting of stage 2's loss, rate or decay, a value that is no list or that a plain
            run would refuse, an optimizer other than SGD, or a choice that needs a validation part.
    """
    if len(stages) < 2 or stages[1].module.max_epochs == 0:
        raise InputError("+grid is over the settings of a stage 2 that is trained, and there is none: set stage2=awabs")
    stage2 = stages[1]
    optimizer: Any = stage2.module.optimizer
    if optimizer.func is not torch.optim.SGD:
        raise InputError(
            f"+grid stacks the steps of SGD alone, and stage2.optimizer is {optimizer.func.__name__}: run its points "
            "as a multirun, or take optimizer@stage2.optimizer=sgd"
        )
    if precision == "16-mixed":
        raise InputError(
            "+grid needs trainer.precision=bf16-mixed or 32-true: 16-mixed has one scale for the gradients of all "
            "points, and skips the step of all where one overflows"
        )
    points = points_of(cfg)
    select = cfg.grid.get("select")
    if not SHOWN.keys() & set(metrics) or (select and "nll" not in metrics):
        raise InputError(
            "+grid is chosen from and drawn by metrics that are not measured: add nll, or with grid.select=null one of "
            f"{', '.join(SHOWN)}, to metric={list(metrics)}"
        )
    if select and not held_out:
        raise InputError(
            "grid.select=nll chooses by what is held out, and nothing is: set dataset.val_per_class=200 (20 for "
            "CIFAR-100), say, or with a frozen network cross_fit=5"
        )
    losses = [build_sampler_and_loss(at_point(cfg, point), "stage2", stage2.data)[1] for point in points]
    changing = [type(part).__name__ for part in losses[0].modules() if hasattr(part, "set_epoch")]
    if changing:
        raise InputError(f"+grid cannot hold {changing[0]}, which changes with the epoch; run its points as a multirun")
    full = [{key: cfg.stage2[key] for key in OF_THE_STAGE} | point for point in points]
    if cfg.stage2.lr == 0:
        raise InputError("+grid needs stage2.lr above 0")
    rates = [p["lr"] / cfg.stage2.lr for p in full]
    return Grid(points, losses, rates, [p["lr_factor"] for p in full], [p["weight_decay"] for p in full], select)


def points_of(cfg: DictConfig) -> list[Point]:
    """List the grid's points, the experiment's own settings first; pairs with eps_tail > eps_head are left out."""
    axes: Any = {key: values for key, values in plain(cfg.grid).items() if key != "select"}
    own: Point = {}
    for key, values in axes.items():
        if key not in OF_THE_STAGE and (key not in cfg.stage2.loss or key.startswith("_") or key == "prior"):
            there = [*OF_THE_STAGE, *(k for k in cfg.stage2.loss if not str(k).startswith("_") and k != "prior")]
            raise InputError(f"grid.{key} is no setting of this stage 2; there are: {', '.join(map(str, there))}")
        if not isinstance(values, list) or not values:
            raise InputError(f"grid.{key}={values} must be a list of values, [0.1, 0.2] say")
        own[key] = cfg.stage2[key] if key in OF_THE_STAGE else cfg.stage2.loss[key]
        for value in values:
            if value is None and own[key] is not None:
                raise InputError(f"grid.{key}={values} has a null among its values")
            check_keys(at_point(cfg, {key: value}))
            if key in OF_THE_STAGE and not (value is not None and value >= 0):
                raise InputError(f"grid.{key}={values}: {value} must be >= 0")
    if cfg.grid.get("select") not in (None, "nll"):
        raise InputError(f"grid.select={cfg.grid.select} must be nll, or null for the experiment's own settings")
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
