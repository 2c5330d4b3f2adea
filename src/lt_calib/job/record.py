"""The record: all that results.json says beside the numbers, known before anything trains."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch

from lt_calib.dataset.data import Data
from lt_calib.dataset.long_tail import factor_shown
from lt_calib.job.parts import Stage
from lt_calib.model.frozen import Pretrained
from lt_calib.settings.schema import changed_of, conf_dir
from lt_calib.settings.table import canonical, settings_hash
from lt_calib.training.trainer import TrainerSettings

RESULTS_SCHEMA = 2  # of results.json and grid.json


def record_of(
    config: Mapping[str, Any], data: Data, stages: Sequence[Stage], trainer: TrainerSettings, n_bins: int
) -> dict[str, Any]:
    """Put the record together, from the objects that run.

    Args:
        config: The composed settings, as plain values.
        data: What is trained on.
        stages: In their order.
        trainer: On what they are trained.
        n_bins: Of the ECE, and of all that stands beside it.
    """
    trained, backbone = stages[0].data.class_counts, stages[0].module.backbone
    backbone = getattr(backbone, "backbone", backbone)  # of one with adapters
    return {
        "schema": RESULTS_SCHEMA,
        "name": config["name"],
        "experiment": config["experiment"],
        "seed": config["seed"],
        "settings": settings_hash(config),
        "changed": changed_of(dict(config)),
        "dataset": {
            "name": data.name,
            "imbalance_factor": data.imbalance_factor,
            "real_imbalance_factor": data.real_imbalance_factor,
            "val_per_class": data.val_per_class,
            **({"val_fraction": data.val_fraction} if data.val_fraction else {}),
            "split_seed": data.split_seed,
            "class_names": list(data.class_names),
            "class_counts": data.cut_counts,
            **({"resampled_counts": trained} if trained != data.cut_counts else {}),
            "groups": data.groups,
            "image_shape": list(data.image_shape),
        },
        "transform": {
            "name": type(data.transform).__name__,
            "mean": list(data.transform.mean),
            "std": list(data.transform.std),
        },
        "network": network_of(config, data),
        **({"frozen": data.facts["features"]} if "features" in data.facts else {}),
        **({"pretrained": backbone.seen} if isinstance(backbone, Pretrained) else {}),
        "recipe": recipe_of(stages[0].module, data.batch_size),
        "n_bins": n_bins,
        **({"cross_fit": config["cross_fit"]} if config.get("cross_fit") else {}),
        "predictions": config["predictions"],
        "environment": {
            "torch": str(torch.__version__),
            "lightning": lightning.__version__,
            "device": trainer.device_name,
            "precision": trainer.precision,
            "git": git_commit(),
        },
    }


def factor_of(dataset: Mapping[str, Any]) -> str:
    """Write a record's imbalance factor, ``10 (is 1.3)`` where the validation part leaves another than was asked for.

    Args:
        dataset: The field of the record; of an old one the factor alone.
    """
    return factor_shown(dataset["imbalance_factor"], dataset.get("real_imbalance_factor"))


def network_of(config: Mapping[str, Any], data: Data) -> dict[str, Any]:
    """Name both parts of the network, with their settings, and what is done with features where it is frozen."""
    model = config["model"]
    parts = {part: part_of(model[part]) for part in ("backbone", "classifier") if model[part]}
    if data.num_features is None:
        return parts
    return {"backbone": {"name": "none"}, **parts, "features": dict(config["features"])}


def part_of(node: Mapping[str, Any]) -> dict[str, Any]:
    """Name a part of the configuration, with its settings: ``{"name": "ResNetCIFAR", "blocks": 1}``."""
    settings = {k: canonical(v) for k, v in node.items() if not k.startswith("_")}
    return {"name": node["_target_"].rsplit(".", 1)[-1], **settings}


def recipe_of(module: Any, batch_size: int) -> dict[str, Any]:
    """Say how a stage is optimized, but for its epochs: what else than method and network a number depends on.

    Args:
        module: The stage's, or what has its ``lr``, ``weight_decay``, ``optimizer`` and ``schedule``.
        batch_size: Over all processes.
    """
    recipe = {
        "lr": module.lr,
        "weight_decay": module.weight_decay,
        "batch_size": batch_size,
        "optimizer": _called(module.optimizer),
        "schedule": _called(module.schedule),
    }
    others = {"schedule_per": "epoch", "backbone_lr_factor": 1, "ema_decay": 0, "sam_rho": 0}
    recipe |= {k: getattr(module, k) for k, usual in others.items() if getattr(module, k, usual) != usual}
    return {k: canonical(v) for k, v in recipe.items()}


def _called(part: Callable[..., Any]) -> dict[str, Any]:
    if not isinstance(part, partial):
        return {"name": getattr(part, "__name__", type(part).__name__)}
    return {"name": part.func.__name__, **{k: canonical(v) for k, v in part.keywords.items()}}


def git_commit() -> str | None:
    """Return the commit of the source tree that runs, with ``+changes`` where it has been edited; None in a wheel."""
    folder = Path(__file__).resolve().parents[1]
    git = ["git", "-C", str(folder)]
    try:
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, timeout=10)
        if tracked.returncode != 0:
            return None
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10).stdout.strip()
        # Untracked files too: a loss of one's own, say; beside the package conf/ in a source tree.
        where = [str(folder), *([str(conf_dir())] if conf_dir().is_dir() else [])]
        changes = subprocess.run([*git, "status", "--porcelain", "--", *where], capture_output=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    return f"{commit}+changes" if changes else commit or None
