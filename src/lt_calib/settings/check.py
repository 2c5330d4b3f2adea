"""The check of every key, by the signature of what it builds, and the building itself."""

import inspect
from functools import partial
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from lt_calib.errors import InputError
from lt_calib.settings.schema import plain
from lt_calib.settings.slot import slot_of
from lt_calib.settings.values import check_values, refuse_unknown

WITHOUT_TARGET = {
    "stage2": {"max_epochs"},
    "cache": {"root"},
    "augment": set(),
    "resample": set(),
    "posthoc": set(),
    "features": {"standardize", "views", "size"},
    "dataset.recipe": {
        "stage1_epochs",
        "stage1_lr",
        "stage1_weight_decay",
        "stage2_epochs",
        "stage2_weight_decay",
        "stage2",
        "cutout_size",
        "mixup_alpha",
        "unimix_tau",
    },
}
# Where what a run's files may build is defined; the rest of the package writes and removes files.
ROOMS = (
    "augment", "dataset", "logger", "loss", "metric", "model", "posthoc", "resample", "sampler", "stage", "training",
    "transform",
)  # fmt: skip


def make(cfg: DictConfig, path: str, *first: Any, **given: Any) -> Any:
    """Build the part that the configuration names at ``path``, with what the run gives; its slot says what that is.

    A function that is called later, such as an augmentation, a metric or a schedule, is returned with its settings.

    Args:
        cfg: The composed configuration, checked.
        path: Of the node, ``"stage1.loss"``.
        *first: The parameters from the left; none leaves the part to be called later.
        **given: Further ones, of which the part gets those that it has.
    """
    node = OmegaConf.select(cfg, path)
    target = _locate(node["_target_"], path)
    slot = slot_of(path, target)
    assert given.keys() <= slot.given | {"prior"}, f"{path} is given {set(given) - slot.given}, of which no slot knows"
    settings: Any = {k: v for k, v in plain(node).items() if k not in slot.taken}
    part: partial = instantiate(settings, _partial_=True, _convert_="all")
    names = inspect.signature(part).parameters
    takes_all = slot.first and any(p.kind is p.VAR_KEYWORD for p in names.values())
    wanted = {name: value for name, value in given.items() if name in names or takes_all}
    if slot.first and not first:
        return partial(part, **wanted) if wanted else part
    return part(*first, **wanted)


def check_keys(cfg: DictConfig) -> None:
    """Refuse a setting that nothing reads, a typo also inside an experiment's file, and one that is not of its type.

    Raises:
        InputError: names the key, and the nearest one there is, or the value and what it must be.
    """
    check_values(cfg)
    _check(cfg, "")


def _check(node: Any, path: str) -> None:
    if isinstance(node, ListConfig):
        for i, child in enumerate(node):
            _check(child, f"{path}[{i}]")
    if not isinstance(node, DictConfig):
        return
    if "_target_" in node:
        _check_part(node, path)
    elif path == "model":  # short names of the network's settings
        read = {"backbone", "classifier"} | {str(k) for k in node if node[k] in (None, *(node.backbone or {}).values())}
        refuse_unknown(node, read, path)
    elif path in WITHOUT_TARGET:
        refuse_unknown(node, WITHOUT_TARGET[path], path)
    elif path.startswith("metric."):
        raise InputError(f"{path} is no metric: it has no _target_")
    for key in node:
        if not str(key).startswith("_"):
            _check(node[key], f"{path}.{key}" if path else str(key))


def _check_part(node: DictConfig, path: str) -> None:
    target = _locate(node["_target_"], path)
    slot = slot_of(path, target)
    parameters = list(inspect.signature(target).parameters.values())
    set_by_the_run = {p.name for p in parameters[: slot.first]} | slot.given
    for key in node:
        if key in set_by_the_run - slot.taken:
            raise InputError(f"{path}.{key} is set by the run itself, and no setting")
    if all(p.kind is not p.VAR_KEYWORD for p in parameters):
        refuse_unknown(node, {p.name for p in parameters} - set_by_the_run | slot.taken, path)
    try:
        hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except NameError:  # annotations that only a type checker can resolve
        hints = {}
    if "imbalance_factor" in hints:
        hints["if"] = hints["imbalance_factor"]
    by_data = {"max_epochs"} if node.get("max_epochs", 0) is None else set()  # null until the rows are counted
    for key in (k for k in node if k in hints and k not in (slot.taken - {"if"}) | by_data):
        _refuse_other_type(node[key], hints[key], f"{path}.{key}")


def _refuse_other_type(value: Any, hint: Any, key: str) -> None:
    """Refuse what is no number or no truth value where only that can be meant; whatever else a part checks itself."""
    allowed = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if not all(kind in (int, float, bool, NoneType) for kind in allowed) or (value is None and NoneType in allowed):
        return
    of = {bool: isinstance(value, bool), int: isinstance(value, int), float: isinstance(value, int | float)}
    if not any(of[kind] and (kind is bool or not isinstance(value, bool)) for kind in allowed if kind in of):
        said = {bool: "true or false", int: "a whole number", float: "a number"}
        kinds = " or ".join(said[kind] for kind in said if kind in allowed)
        raise InputError(f"{key}={value} must be {kinds}")


def refuse_untrusted(node: Any, where: str, trust: bool = False) -> None:
    """Refuse a configuration that was read from a file and would build what is no part of this package's models.

    Args:
        node: What of it would be built.
        where: The file, for the message.
        trust: Whether code outside the package may be built too.

    Raises:
        InputError: names a ``_target_`` that is not defined in one of the package's rooms, under its own name.
    """
    if isinstance(node, ListConfig):
        for child in node:
            refuse_untrusted(child, where, trust)
    if isinstance(node, DictConfig):
        target = node.get("_target_")
        if target is not None and not _of_the_package(str(target)):
            if str(target).split(".")[0] == "lt_calib":
                raise InputError(f"{where} names {target}, which is no part that a file may build")
            if not trust:
                raise InputError(
                    f"{where} names {target}, which is code outside lt_calib. A file that is loaded builds it only if "
                    "you trust it: --trust, in Python trust=True"
                )
        for key in node:
            refuse_untrusted(node[key], where, trust)


def _of_the_package(target: str) -> bool:
    # By where it is defined: a module's imports can be reached through it, lt_calib.run.os say.
    if not target.startswith(tuple(f"lt_calib.{room}." for room in ROOMS)):
        return False
    found = _locate(target, "")
    return target == f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', None)}"


def _locate(target: str, path: str) -> Any:
    try:
        return get_object(target)
    except Exception as error:
        raise InputError(f"{path}._target_={target} cannot be found: {error}") from error
