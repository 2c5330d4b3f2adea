"""The nearest names, for an argument that names nothing."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf

from lt_calib.settings.schema import conf_dir
from lt_calib.settings.table import flatten


def nearest_names(arguments: Sequence[str]) -> list[str]:
    """Say for each argument of the command that names nothing what it may have meant.

    Args:
        arguments: ``GROUP=NAME`` and ``KEY=VALUE``, with Hydra's signs before them.
    """
    search = [word for word in arguments if word.lstrip("+").startswith("hydra.searchpath=")]
    if any("pkg://" in word for word in search):  # what an installed package adds is not listed here
        return []
    roots = [conf_dir(), *(Path(found) for word in search for found in re.findall(r"file://([^\s,\]'\"]+)", word))]
    groups: list[str] = []
    keys: list[str] = []
    said: list[str] = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        key = key.lstrip("+~")
        group = key.partition("@")[0]
        if not value or key.startswith("-"):
            continue
        if not any((root / group).is_dir() for root in roots):
            if not argument.startswith(("+", "~")):  # a key that is added is checked by check_keys
                keys.append(key)
            continue
        there = sorted(path.stem for root in roots for path in (root / group).glob("*.yaml"))
        unknown = [name for name in value.strip("'\"").split(",") if name.isidentifier() and name not in there]
        said += [no_such(group, name, there) for name in unknown]
        if not unknown and "," not in value and not group.startswith("hydra"):
            groups.append(argument)
    if said:
        return said
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg: Any = OmegaConf.to_container(compose("config", [*search, *groups]), resolve=False)
    except HydraException:  # Hydra has said what is wrong with a group: a + too many or too few, say
        return []
    branches = {".".join(key.split(".")[:i]) for key in flatten(cfg) for i in range(1, key.count(".") + 2)}
    return [no_such("setting", key, sorted(branches)) for key in keys if not _known(key, branches)]


def _known(key: str, branches: set[str]) -> bool:
    return key in branches or key.startswith("hydra.")


def no_such(kind: str, name: str, there: list[str]) -> str:
    """Say of a name that names nothing which there are, the nearest first."""
    near = difflib.get_close_matches(name, there, n=3, cutoff=0.5)
    return f"No {kind} {name}; " + (f"the nearest: {', '.join(near)}" if near else f"there are: {', '.join(there)}")
