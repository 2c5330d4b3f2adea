"""One process at a time in a run's folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from lt_calib.errors import InputError

LOCK = ".lock"


class InUseError(InputError):
    """Another process is at work in the folder."""


def system_lock(path: Path) -> BaseFileLock:
    """Return the operating system's lock of a file, which a killed process does not keep.

    Where the file system has none it raises OSError when it is acquired; a marker file in its place would stay.
    """
    return FileLock(path, fallback_to_soft=False)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep every other process out of the folder; a killed one keeps nobody out.

    A second terminal, or a job that was queued again while its first process still ends, would remove the other's
    half-written files and write into its history.

    Raises:
        InUseError: another one is in it.
    """
    lock = system_lock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InUseError(
            f"another process is at work in {folder}: let it end, or set another folder (hydra.run.dir=FOLDER)"
        ) from error
    except (OSError, NotImplementedError):  # a file system without locks; nothing is kept out there
        yield
        return
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()
