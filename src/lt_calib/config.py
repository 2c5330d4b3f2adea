"""The configuration: where it lies, its typed top level, its resolvers, and what makes two of them the same."""

import hashlib
import json
import math
import re
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

from lt_calib.errors import InputError

# Settings that the folder's name already says, or that change no number.
NOT_IN_FOLDER = (
    "experiment",
    "name",
    "seed",
    "dataset",
    "dataset.if",
    "dataset.root",
    "logger",
    "cache",
    "resume",
    "figures",
    "objective",
)
NO_EFFECT = ("logger", "cache", "resume", "dataset.root", "figures", "objective")
# Settings that results.json says by themselves, that only measure, or that name a file of a machine.
TOLD_APART = (
    "name", "seed", "model.", "posthoc", "trainer.", "metric.", "stage1.max_epochs", "stage1.ckpt_path",
    "stage2.max_epochs", "dataset.name", "dataset.if", "dataset.val_per_class", "dataset.eval_batch_size",
)  # fmt: skip
MAX_FOLDER = 150
RESULTS_SCHEMA = 1  # of results.json and grid.json


@dataclass
class Model:
    """The two parts of a network."""

    backbone: Any = None
    classifier: Any = None


@dataclass
class Config:
    """The top level: a key that is not here is a typo."""

    experiment: str = "custom"
    name: str = "custom"
    seed: int = 0
    allow_double_correction: bool = False
    dataset: Any = None
    resample: Any = None
    model: Model = field(default_factory=Model)
    augment: Any = None
    stage1: Any = None
    stage2: Any = None
    metric: Any = None
    posthoc: Any = None
    grid: Any = None
    figures: bool = True
    trainer: Any = None
    cache: Any = None
    resume: str = "auto"
    objective: str = "nll"
    logger: Any = None


def conf_dir() -> Path:
    """Return conf/: beside the package in a wheel, at the top of the source tree otherwise."""
    installed = Path(__file__).resolve().parent / "conf"
    return installed if installed.is_dir() else installed.parents[2] / "conf"


def register() -> None:
    """Make the typed top level and the resolvers known to Hydra; may be called again."""
    ConfigStore.instance().store(name="schema", node=Config)
    # Hydra copies its one store with every source of settings, 137 times for --help, which took three quarters of it.
    ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]
    OmegaConf.register_new_resolver("recipe", _recipe, replace=True)
    OmegaConf.register_new_resolver("changed", _changed, replace=True)


def nearest_factor(listed: list[float], imbalance_factor: float) -> float:
    """Return the listed imbalance factor that is nearest on a log scale; of two equally near, the larger."""
    number = isinstance(imbalance_factor, int | float) and not isinstance(imbalance_factor, bool)
    if not (number and math.isfinite(imbalance_factor) and imbalance_factor >= 1):
        raise InputError(
            f"dataset.if={imbalance_factor} must be a finite number >= 1: n_max / n_min, so that 100 means that the "
            "largest class has 100 times the pictures of the smallest"
        )
    return min(sorted(listed, reverse=True), key=lambda f: abs(math.log(f) - math.log(imbalance_factor)))


def _recipe(key: str, *, _root_: DictConfig) -> Any:
    """``${recipe:KEY}``: the data set's setting of stage 2 at the imbalance factor nearest to dataset.if."""
    table = _root_.dataset.recipe.stage2
    return table[nearest_factor(list(table), _root_.dataset["if"])][key]


def _changed(overrides: ListConfig) -> str:
    """``${changed:...}``: the command line's overrides as a part of a folder's name.

    Without ``=`` and ``,``, so that the folder's path can be a value on the command line: ``stage1.ckpt_path=...``.
    """
    kept = [o for o in overrides if o.lstrip("+~").split("=")[0] not in NOT_IN_FOLDER]
    kept = [o for o in kept if not o.startswith(("logger.", "cache."))]
    text = "".join("_" + re.sub(r"[^\w.+@-]+", "-", o) for o in sorted(kept))
    if len(text) > MAX_FOLDER:
        text = f"{text[:MAX_FOLDER]}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return text


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested dicts into ``{"a.b.c": value}``."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def settings_hash(cfg: DictConfig) -> str:
    """Hash all settings of training but the seed: the same for all seeds of one experiment, calibrated or not.

    What it is trained on is no setting of the experiment: results.json names the device and the precision. Nor is the
    file of a given stage 1, which each seed has its own of and which must have been trained as the settings say.
    """
    flat = flatten(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    other = ("posthoc", "trainer.", "stage1.ckpt_path")
    kept = {k: v for k, v in flat.items() if k != "seed" and not k.startswith(other) and not without_effect(k)}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]


def changed(cfg: DictConfig) -> dict[str, Any]:
    """Return the settings that are not the experiment's own, flat: what makes a run another method than its name says.

    Of an experiment or data that Hydra does not find nothing is known, and nothing is returned. The settings of a grid
    are one, ``"grid"``.
    """
    words = [f"dataset={cfg.dataset.name}", f"dataset.if={cfg.dataset['if']}"]
    words += [f"+experiment={cfg.experiment}"] if cfg.experiment != "custom" else []
    in_a_job = GlobalHydra.instance().is_initialized()  # then with its search path, which another package may be on
    try:
        with nullcontext() if in_a_job else initialize_config_dir(str(conf_dir()), version_base="1.3"):
            own: Any = OmegaConf.to_container(compose("config", words), resolve=True)
    except HydraException:
        return {}
    now: Any = OmegaConf.to_container(cfg, resolve=True)
    flat = flatten(now)
    keys = [key for key in differing_keys(own, now) if not key.startswith(TOLD_APART)]
    grid = {"grid": True} if any(key.startswith("grid") for key in keys) else {}
    return {key: flat.get(key) for key in keys if not key.startswith("grid")} | grid


def without_effect(key: str) -> bool:
    """Tell whether a setting changes no number."""
    return any(key == e or key.startswith(f"{e}.") for e in NO_EFFECT)


def differing_keys(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Name the settings that differ, but for those that change no number."""
    a, b = flatten(old), flatten(new)
    keys = sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))
    return [k for k in keys if not without_effect(k)]


def refuse_other_settings(folder: Path, cfg: DictConfig) -> None:
    """Refuse a folder that holds a run with other settings than these."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    if not path.exists():
        return
    old: Any = OmegaConf.to_container(OmegaConf.load(path))
    new: Any = OmegaConf.to_container(cfg)
    keys = differing_keys(old, new)
    if keys:
        raise InputError(
            f"{folder} holds a run with other settings ({', '.join(keys)}). "
            "Take another folder (hydra.run.dir=FOLDER), or remove that one"
        )
