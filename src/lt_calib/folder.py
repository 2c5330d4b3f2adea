"""A folder of one's own for a run that starts afresh."""

import logging
from itertools import chain, count
from pathlib import Path


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
