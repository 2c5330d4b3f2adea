"""The check of every key of a configuration, and of what a configuration from a file may build."""

import difflib
import inspect
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

from omegaconf import DictConfig, ListConfig

from lt_calib.config import Config
from lt_calib.errors import InputError

# Settings that run.py itself takes out of a node before it is instantiated.
TAKEN_BY_RUN = {
    "dataset": {"if", "recipe"},
    "augment": {"partner"},
    "augment.then": {"partner"},
    "resample": {"space"},
    "stage1": {"loss", "sampler", "ckpt_path"},
    "stage2": {"loss", "sampler", "classifier"},
    "trainer": {"compile"},
}


# Parameters that run.py itself gives, and no setting may.
GIVEN_BY_RUN = {"imbalance_factor", "backbone", "stage1_classifier", "class_counts", "targets", "num_classes"}
WITHOUT_TARGET = {
    "stage2": {"max_epochs"},
    "cache": {"root"},
    "augment": set(),
    "resample": set(),
    "posthoc": set(),
    "dataset.recipe": {"stage1_epochs", "stage1_lr", "stage2_epochs", "cutout_size", "unimix_tau", "stage2"},
}


# Where what a run's files may build is defined; the rest of the package writes and removes files.
ROOMS = (
    "augment", "dataset", "logger", "loss", "metric", "model", "posthoc", "resample", "sampler", "stage", "trainer",
)  # fmt: skip


def check_keys(cfg: DictConfig) -> None:
    """Refuse a setting that nothing reads, a typo also inside an experiment's file, and one that is not of its type.

    Raises:
        InputError: names the key, and the nearest one there is, or the value and what it must be.
    """
    _refuse(cfg, {f.name for f in fields(Config)}, "")
    if cfg.seed < 0:
        raise InputError(f"seed={cfg.seed} must be >= 0")
    if cfg.resume not in ("auto", "off"):
        raise InputError(f"resume={cfg.resume} must be 'auto' (go on where a run stopped) or 'off' (a new folder)")
    for stage in ("stage1", "stage2"):
        for part in ("loss", "sampler"):
            if isinstance(cfg[stage].get(part), str):
                raise InputError(
                    f"{stage}.{part}={cfg[stage][part]}: a part is chosen by its group, "
                    f"{part}@{stage}.{part}={cfg[stage][part]}"
                )
    _check(cfg, "")


def _check(node: Any, path: str) -> None:
    if isinstance(node, ListConfig):
        for i, child in enumerate(node):
            _check(child, f"{path}[{i}]")
    if not isinstance(node, DictConfig):
        return
    taken = TAKEN_BY_RUN.get(path, set())
    if "_target_" not in node:
        if path in WITHOUT_TARGET:
            _refuse(node, WITHOUT_TARGET[path], path)
        if path.startswith("metric."):
            raise InputError(f"{path} is no metric: it has no _target_")
    if "_target_" in node:
        target = _locate(node["_target_"], path)
        parameters = inspect.signature(target).parameters.values()
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            _refuse(node, {p.name for p in parameters} - GIVEN_BY_RUN | taken, path)
        hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
        if "imbalance_factor" in hints:
            hints["if"] = hints["imbalance_factor"]
        for key in (k for k in node if k in hints):
            _refuse_other_type(node[key], hints[key], f"{path}.{key}")
    for key in node:
        if not str(key).startswith("_"):
            _check(node[key], f"{path}.{key}" if path else str(key))


def _refuse(node: DictConfig, known: set[str], path: str) -> None:
    for key in node:
        if isinstance(key, str) and not key.startswith("_") and key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            cure = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(known))}"
            raise InputError(f"unknown setting {path}{'.' if path else ''}{key}; {cure}")


def _refuse_other_type(value: Any, hint: Any, key: str) -> None:
    """Refuse what is no number or no truth value where only that can be meant; whatever else a part checks itself."""
    allowed = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if value is None or not all(kind in (int, float, bool, NoneType) for kind in allowed):
        return
    of = {bool: isinstance(value, bool), int: isinstance(value, int), float: isinstance(value, int | float)}
    if not any(of[kind] and (kind is bool or not isinstance(value, bool)) for kind in allowed if kind in of):
        said = {bool: "true or false", int: "a whole number", float: "a number"}
        kinds = " or ".join(said[kind] for kind in said if kind in allowed)
        raise InputError(f"{key}={value} must be {kinds}")


def check_targets(node: Any) -> None:
    """Refuse a configuration that was read from a file and would build what is no part of this package's models.

    Raises:
        InputError: a ``_target_`` that is not defined in one of the package's rooms, under its own name.
    """
    if isinstance(node, ListConfig):
        for child in node:
            check_targets(child)
    if isinstance(node, DictConfig):
        target = node.get("_target_")
        if target is not None and not _may_be_built(str(target)):
            raise InputError(f"_target_: {target} is no part of lt_calib; a file that was read may build nothing else")
        for key in node:
            check_targets(node[key])


def _may_be_built(target: str) -> bool:
    # By where it is defined: a module's imports can be reached through it, lt_calib.run.os say.
    if not target.startswith(tuple(f"lt_calib.{room}." for room in ROOMS)):
        return False
    found = _locate(target, "")
    return target == f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', None)}"


def _locate(target: str, path: str) -> Any:
    from hydra.utils import get_object

    try:
        return get_object(target)
    except Exception as error:
        raise InputError(f"{path}._target_={target} cannot be found: {error}") from error
