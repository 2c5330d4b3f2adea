"""The folders of runs: a fresh one, one that can be written, and the log in it."""

import errno
import logging
import os
import sys
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from lt_calib.errors import InputError


def fresh(folder: Path) -> Path:
    """Return the folder, or where a run has begun there the first of ``FOLDER_2``, ``FOLDER_3``, ... without one."""
    numbered = (folder.with_name(f"{folder.name}_{i}") for i in count(2))
    return next(f for f in chain([folder], numbered) if not (f / "config.yaml").exists())


def log_into(folder: Path) -> None:
    """Have the log file in this folder, and not in the one that Hydra has opened it in."""
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, logging.FileHandler)]:
        path = folder / Path(old.baseFilename).name
        if path.absolute() != Path(old.baseFilename):
            folder.mkdir(parents=True, exist_ok=True)
            new = logging.FileHandler(path)
            new.setFormatter(old.formatter)
            root.removeHandler(old)
            old.close()
            root.addHandler(new)


def leave_nothing(folder: Path) -> None:
    """Remove a folder in which a refused command has left no more than its log, and those above that it alone was in.

    Above it only what is empty is removed, and below the working directory.
    """
    with suppress(OSError):
        left = list(folder.iterdir())
        if {path.name for path in left} <= {"run.log", "error.txt"}:
            for path in left:
                path.unlink()
            for empty in (folder, *folder.parents):
                if empty == folder or Path.cwd() in empty.parents:
                    empty.rmdir()


def folder_of(root: str) -> Path:
    """Return the folder that ``dataset.root`` names.

    Raises:
        InputError: none is named, or it is not there.
    """
    if not root:
        raise InputError("dataset.root must be given: the folder of the images, dataset.root=DIR")
    top = Path(root).expanduser()
    if not top.is_dir():
        raise InputError(f"dataset.root={root} is no folder")
    return top


class FolderCheck(Callback):
    """Hydra's callback that refuses a folder which cannot be made or written, before Hydra makes it."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the folder of one job."""
        refuse_unwritable(Path(config.hydra.run.dir))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the folder of all jobs."""
        refuse_unwritable(Path(config.hydra.sweep.dir))


def check_writable(folder: Path, *names: str, cure: str = "take one that can") -> None:
    """Try whether files can be written, before the work that they are to keep; their folder is made.

    Args:
        folder: Where they go.
        names: Of files; none tries the folder alone.
        cure: For the message.

    Raises:
        InputError: the file system is read-only, say, or a folder is where a file should be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names or ("",):
            if name and (folder / name).is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{name} is a folder")
            probe = folder / f"{name}.{os.getpid()}.part"  # as what is written atomically is called
            probe.write_bytes(b".")
            probe.unlink()
    except OSError as error:
        raise InputError(f"{folder} cannot be written to ({error.strerror}): {cure}") from error


def refuse_unwritable(folder: Path) -> None:
    """End the command with a line where nothing can be written.

    Raises:
        SystemExit: says why, and what to set.
    """
    try:
        check_writable(folder, cure="set hydra.run.dir=FOLDER (of a multirun hydra.sweep.dir=FOLDER) to one that can")
    except InputError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None  # Hydra warns of any other exception, and goes on
