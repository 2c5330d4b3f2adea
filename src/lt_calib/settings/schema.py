"""The configuration's typed top level, where conf/ lies, and the resolvers of its yaml files."""

import hashlib
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

from lt_calib.errors import InputError
from lt_calib.settings.table import equal, matters_for, settings_for

MAX_CHANGED = 66  # characters: with seed4294967295 before them a folder's name has 80
NATURAL = "natural"  # the factor of data that are not cut


@dataclass
class Features:
    """What is done with features of a frozen network, or of a table."""

    standardize: str = "one"
    views: int = 0
    size: int | None = None


@dataclass
class Config:
    """The top level: a key that is not here is a typo."""

    experiment: str = "custom"
    name: str = "custom"
    seed: int = 0
    allow_double_correction: bool = False
    dataset: Any = None
    transform: Any = None
    resample: Any = None
    model: Any = None
    features: Features = field(default_factory=Features)
    augment: Any = None
    stage1: Any = None
    stage2: Any = None
    metric: Any = None
    posthoc: Any = None
    conformal: Any = None
    grid: Any = None
    cross_fit: int = 0
    figures: bool = True
    predictions: str = "float32"
    trainer: Any = None
    cache: Any = None
    resume: str = "auto"
    objective: str = "nll"
    logger: Any = None


def conf_dir() -> Path:
    """Return conf/: beside the package in a wheel, at the top of the source tree otherwise."""
    package = Path(__file__).resolve().parents[1]
    return package / "conf" if (package / "conf").is_dir() else package.parents[1] / "conf"


def register() -> None:
    """Make the typed top level and the resolvers known to Hydra; may be called again."""
    ConfigStore.instance().store(name="schema", node=Config)
    OmegaConf.register_new_resolver("recipe", _recipe, replace=True)
    OmegaConf.register_new_resolver("changed", _changed, replace=True)
    OmegaConf.register_new_resolver("name_of", lambda path: Path(path).expanduser().resolve().stem, replace=True)
    OmegaConf.register_new_resolver("factor", lambda factor: NATURAL if factor is None else factor, replace=True)


def composed(*overrides: str) -> DictConfig:
    """Compose the configuration of a command line: inside a job of Hydra's with its search path, else with conf/."""
    if GlobalHydra.instance().is_initialized():
        return compose("config", list(overrides))
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", list(overrides))


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Turn a configuration into nested dicts of plain values, resolved."""
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def changed_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that are not the experiment's own, flat: what makes a run another method than its name says.

    Of an experiment or data that Hydra does not find nothing is known, and nothing is returned. The settings of a grid
    are one, ``"grid"``.
    """
    factor = config["dataset"]["if"]
    words = [f"dataset={config['dataset']['name']}", f"dataset.if={'null' if factor is None else factor}"]
    words += [f"+experiment={config['experiment']}"] if config["experiment"] != "custom" else []
    try:
        own = plain(composed(*words))
    except HydraException:
        return {}
    mine, theirs = (settings_for(c, ("stage1", "results"), without=("recorded",)) for c in (config, own))
    keys = sorted(k for k in mine.keys() | theirs.keys() if not equal(mine.get(k), theirs.get(k)))
    grid = {"grid": True} if any(key.startswith("grid") for key in keys) else {}
    return {key: mine.get(key) for key in keys if not key.startswith("grid")} | grid


def nearest_factor(listed: list[Any], imbalance_factor: float | None) -> Any:
    """Return the listed imbalance factor that is nearest on a log scale; of two equally near, the larger.

    Of None, the data's own, which is not known before they are read, ``"natural"`` is taken, or else 100.
    """
    if imbalance_factor is None:
        if NATURAL in listed:
            return NATURAL
        imbalance_factor = 100
    number = isinstance(imbalance_factor, int | float) and not isinstance(imbalance_factor, bool)
    if not (number and math.isfinite(imbalance_factor) and imbalance_factor >= 1):
        raise InputError(
            f"dataset.if={imbalance_factor} must be a finite number >= 1: n_max / n_min, so that 100 means that the "
            "largest class has 100 times the images of the smallest"
        )
    numbers = sorted((factor for factor in listed if factor != NATURAL), reverse=True)
    return min(numbers, key=lambda f: abs(math.log(f) - math.log(imbalance_factor)))


def _recipe(key: str, *, _root_: DictConfig) -> Any:
    """``${recipe:KEY}``: the data set's setting of stage 2 at the imbalance factor nearest to dataset.if."""
    table = _root_.dataset.recipe.stage2
    return table[nearest_factor(list(table), _root_.dataset["if"])][key]


def _changed(overrides: ListConfig) -> str:
    """``${changed:...}``: the command line's overrides as a part of a folder's name.

    Without ``=`` and ``,``, so that the folder's path can be a value on the command line: ``stage1.ckpt_path=...``.
    Where they are too long together, some are left out whole, and a hash of all stands at the end.
    """
    kept = [o for o in overrides if "folder" in matters_for(o.lstrip("+~").split("=")[0])]
    words = ["_" + re.sub(r"[^\w.+@-]+", "-", o) for o in sorted(kept)]
    text = "".join(words)
    if len(text) <= MAX_CHANGED:
        return text
    shown, end = "", f"_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    for word in words:  # whole ones
        shown += word if len(shown + word + end) <= MAX_CHANGED else ""
    return shown + end
