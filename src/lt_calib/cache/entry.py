"""The entries of the cache: a finished stage 1's checkpoint, and beside it its checksum and settings."""

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lt_calib.dataset.long_tail import factor_shown
from lt_calib.errors import InputError
from lt_calib.files.checkpoint import remove_remains, write_atomically
from lt_calib.settings.table import hash_of

log = logging.getLogger(__name__)


def key_of(settings: Mapping[str, Any]) -> str:
    """Name the entry of these settings."""
    return hash_of(settings, 16)


def fetch(folder: Path, key: str, path: Path) -> None:
    """Copy an entry to ``path`` if it is there and sound; a damaged one is removed."""
    if not (folder / f"{key}.json").exists():
        return
    try:
        content = read(folder, key)
    except OSError as error:  # another user's, or the disk's: it may be sound for others
        log.warning("The cache's entry %s cannot be read (%s): this job trains its own stage 1.", key, error)
        return
    if content is None:
        log.warning("The cache's entry %s is damaged: it is removed, and stage 1 trained again.", key)
        with suppress(OSError):
            remove(folder, key)
        return
    write_atomically(path, lambda stream: stream.write(content))
    path.with_suffix(".part.ckpt").unlink(missing_ok=True)  # of this job's own stage 1, which was killed
    log.info("Stage 1 has been trained with these settings: it is taken from the cache, entry %s.", key)


def store(folder: Path, key: str, path: Path, settings: Mapping[str, Any]) -> None:
    """Copy a checkpoint into the cache; its .json, written last, makes it an entry."""
    content = path.read_bytes()
    about = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "settings": settings,
    }
    remove_remains(folder, f"{key}.")
    try:
        write_atomically(folder / f"{key}.ckpt", lambda stream: stream.write(content))
        text = json.dumps(about, indent=2) + "\n"
        write_atomically(folder / f"{key}.json", lambda stream: stream.write(text.encode()))
    except (OSError, InputError) as error:
        log.warning("Stage 1 could not be kept in the cache: %s", error)


def read(folder: Path, key: str) -> bytes | None:
    """Read an entry's checkpoint; None where it has not the checksum that was kept with it.

    Raises:
        OSError: a file of it is there and cannot be read.
    """
    try:
        about = json.loads((folder / f"{key}.json").read_text())
        content = (folder / f"{key}.ckpt").read_bytes()
        return content if hashlib.sha256(content).hexdigest() == about["sha256"] else None
    except (FileNotFoundError, ValueError, KeyError):
        return None


def sound(folder: Path, key: str) -> bool:
    """Say whether an entry can be read and has its checksum."""
    try:
        return read(folder, key) is not None
    except OSError:
        return False


def remove(folder: Path, key: str) -> None:
    """Remove an entry; the .json first, so that no half entry is ever taken for one."""
    for suffix in ("json", "ckpt"):
        (folder / f"{key}.{suffix}").unlink(missing_ok=True)
    remove_remains(folder, f"{key}.")


def keys(folder: Path) -> list[str]:
    """List the entries; other files of the folder are none."""
    return sorted(path.stem for path in folder.glob("*.json") if re.fullmatch("[0-9a-f]{16}", path.stem))


def describe(folder: Path, key: str) -> str:
    """Say in one line what an entry is."""
    try:
        about = json.loads((folder / f"{key}.json").read_text())
        s = about["settings"]
        augment = s.get("augment._target_", "none").split(".")[-1]
        what = f"{s['dataset.name']} IF {factor_shown(s['dataset.if'])}, {s['stage1.max_epochs']} epochs, {augment}"
        loss = s["stage1.loss._target_"].split(".")[-1]
        return f"{key}  {about['made']}  {about['bytes'] / 1e6:.1f} MB  {what}, {loss}, seed {s['seed']}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"{key}  damaged"
