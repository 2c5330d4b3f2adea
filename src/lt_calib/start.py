"""What is told to the user before a job begins: the nearest names, and a folder that cannot be written."""

import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from lt_calib.config import conf_dir, flatten


def nearest_names(arguments: Sequence[str]) -> list[str]:
    """Say for each argument of the command that names nothing what it may have meant.

    Args:
        arguments: ``GROUP=NAME`` and ``KEY=VALUE``, with Hydra's signs before them.
    """
    groups: list[str] = []
    keys: list[str] = []
    said: list[str] = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        key = key.lstrip("+~")
        group = key.partition("@")[0]
        if not value or key.startswith("-"):
            continue
        if not (conf_dir() / group).is_dir():
            if not argument.startswith(("+", "~")):  # a key that is added is checked by check_keys
                keys.append(key)
            continue
        there = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
        unknown = [name for name in value.strip("'\"").split(",") if name.isidentifier() and name not in there]
        said += [_sentence(group, name, there) for name in unknown]
        if not unknown and "," not in value and not group.startswith("hydra"):
            groups.append(argument)
    if said:
        return said
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg: Any = OmegaConf.to_container(compose("config", groups), resolve=False)
    except HydraException:  # Hydra has said what is wrong with a group: a + too many or too few, say
        return []
    branches = {".".join(key.split(".")[:i]) for key in flatten(cfg) for i in range(1, key.count(".") + 2)}
    return [_sentence("setting", key, sorted(branches)) for key in keys if not _known(key, branches)]


def _known(key: str, branches: set[str]) -> bool:
    return key in branches or key.startswith("hydra.")


def _sentence(kind: str, name: str, there: list[str]) -> str:
    near = difflib.get_close_matches(name, there, n=3, cutoff=0.5)
    return f"No {kind} {name}; " + (f"the nearest: {', '.join(near)}" if near else f"there are: {', '.join(there)}")


class FolderCheck(Callback):
    """Hydra's callback that refuses a folder which cannot be made or written, before Hydra makes it."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the folder of one job."""
        refuse_unwritable(Path(config.hydra.run.dir))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the folder of all jobs."""
        refuse_unwritable(Path(config.hydra.sweep.dir))


def refuse_unwritable(folder: Path) -> None:
    """End the command with a line where nothing can be written.

    Raises:
        SystemExit: says why, and what to set.
    """
    probe = folder / f".{os.getpid()}.probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b".")
        probe.unlink(missing_ok=True)
    except OSError as error:
        print(
            f"{folder} cannot be written to ({error.strerror}): set hydra.run.dir=FOLDER (of a multirun "
            "hydra.sweep.dir=FOLDER) to one that can",
            file=sys.stderr,
        )
        raise SystemExit(1) from None  # Hydra warns of any other exception, and goes on
