"""One stage 1 for all jobs whose stage 1 has the same settings."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import Timeout

from lt_calib.cache.entry import fetch, key_of, store
from lt_calib.cache.sources import PACKAGE, checksum_of_source, checksum_of_sources
from lt_calib.files.checkpoint import read_checkpoint
from lt_calib.files.lock import system_lock
from lt_calib.training.processes import position

log = logging.getLogger(__name__)


@contextmanager
def shared_stage1(
    root: Path | None, settings: Mapping[str, Any], here: Mapping[str, str], path: Path
) -> Iterator[None]:
    """Put the entry of these settings at ``path``, or keep what the body puts there.

    While a job is inside, another one with the same settings waits at the door, and then finds the entry. The lock is
    the operating system's, so that a killed job's is free. Processes that torchrun or srun have started leave the cache
    alone: they are all there already, and the others would begin while the first still waits.

    Args:
        root: Of the cache; None leaves it alone.
        settings: All that decides stage 1's weights.
        here: What trains it in this process, a part of the settings.
        path: Of the job's own checkpoint of stage 1. Where it is there already, of a job that was killed later, it
            becomes the entry if there is none.
    """
    if root is None:
        yield
        return
    if position()[1] > 1:
        log.info("torchrun or srun has started the processes: the cache of stage 1 is left alone.")
        yield
        return
    key = key_of(settings)
    lock = system_lock(root / f"{key}.lock")
    there = path.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with suppress(Timeout):
            lock.acquire(timeout=0)
        if not (lock.is_locked or there):
            log.info("Another job trains this very stage 1 (cache entry %s); this one waits for it.", key)
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        log.warning("The cache of stage 1 at %s cannot be written (%s): nothing is added to it.", root, error)
    try:
        if not there:
            fetch(root, key, path)
        yield
        if lock.is_locked and not (root / f"{key}.json").exists():
            keep(root, key, path, settings, here)
    finally:
        lock.release()


def keep(folder: Path, key: str, path: Path, settings: Mapping[str, Any], here: Mapping[str, str]) -> None:
    """Store a checkpoint, unless another torch, device or package has trained a part of it."""
    own = [name for name in here if name not in ("torch", "device", "sources")]
    if checksum_of_sources(PACKAGE) != here["sources"] or any(checksum_of_source(name) != here[name] for name in own):
        log.warning("The sources have changed since this process began: stage 1 is not kept in the cache.")
    elif read_checkpoint(path).get("made_by") != [dict(here)]:
        log.info("Stage 1 was trained by another torch, device or package than this: it is not kept in the cache.")
    else:
        store(folder, key, path, settings)
