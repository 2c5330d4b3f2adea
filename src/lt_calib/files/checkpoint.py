"""Files that are either whole or not there: written to a temporary name, synced, renamed."""

import hashlib
import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import nn

from lt_calib.errors import InputError

SCHEMA = 1


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file by ``write(stream)`` so that a crash at any moment leaves the old file or the new one.

    Raises:
        InputError: the disk is full, say.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch.save raises the latter where the disk is full
        raise InputError(
            f"{path} could not be written: {error}. What was there before is whole; make room or take another folder, "
            "and with resume=auto, the default, the same command goes on after the last finished epoch"
        ) from error
    finally:
        with suppress(OSError):  # where nothing can be written nothing can be removed, and the error above says so
            temporary.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Compute a file's SHA-256, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def remove_remains(folder: Path, prefix: str = "") -> None:
    """Remove what a process that was killed while writing has left, of the files whose names begin with ``prefix``."""
    for path in folder.glob(f"{prefix}*.part"):
        path.unlink(missing_ok=True)


def save_stage(path: Path, backbone: nn.Module, classifier: nn.Module, about: dict[str, Any]) -> None:
    """Write one finished stage.

    Args:
        path: Of the checkpoint.
        backbone: Trained.
        classifier: Trained.
        about: Plain values kept beside the weights: ``data``, ``epochs``, ``history``, ...
    """
    content = {"schema": SCHEMA, "backbone": backbone.state_dict(), "classifier": classifier.state_dict(), **about}
    write_atomically(path, lambda stream: torch.save(content, stream))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a file of tensors and plain values, and nothing that would be run when it is unpickled.

    Raises:
        InputError: the file is missing, damaged, no checkpoint, or of another schema.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"checkpoint {path} is not there; check the path") from error
    except pickle.UnpicklingError as error:  # torch's own message advises to unpickle it all the same
        raise InputError(
            f"checkpoint {path} cannot be read: it is no checkpoint, or holds what would be run when it is unpickled. "
            "Take one that lt_calib has written"
        ) from error
    except Exception as error:  # of what else is no checkpoint, torch raises whatever it stumbles over
        said = (str(error) or type(error).__name__).splitlines()[0][:100]
        raise InputError(
            f"checkpoint {path} cannot be read, it is damaged or no checkpoint ({said}). Train it again, "
            "or take another"
        ) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(f"checkpoint {path} is none of lt_calib's, or of another schema than {SCHEMA}")
    return content


def load_stage(path: Path, backbone: nn.Module, classifier: nn.Module, data: dict[str, Any]) -> dict[str, Any]:
    """Load one finished stage into the modules, and return what was kept beside the weights.

    Only plain values and tensors are unpickled.

    Args:
        path: Of the checkpoint.
        backbone: Takes the weights.
        classifier: Takes the weights.
        data: What decides which images are trained on; must equal what was kept, since a stage 1 that has seen the
            validation part, say, would make every choice on it worthless. What the file does not know is passed over.

    Raises:
        InputError: the file is missing, damaged, not ours, of another model, or of other data.
    """
    content = read_checkpoint(path)
    parts = {"backbone": backbone, "classifier": classifier}
    for name in parts:
        values = content.get(name)
        if not isinstance(values, dict) or not all(isinstance(v, torch.Tensor) for v in values.values()):
            raise InputError(f"checkpoint {path} holds no {name}: it is no finished stage of lt_calib's")
    kept = content.get("data", {})
    keys = sorted(k for k in data if kept.get(k, data[k]) != data[k]) if kept else sorted(data)
    if keys:
        raise InputError(
            f"checkpoint {path} was trained on other data: "
            + "; ".join(f"{k} was {kept.get(k, 'not kept')}, here it is {data.get(k)}" for k in keys)
            + ". Set dataset.* as it was trained with"
        )
    given = {f"{name}.{k}": tuple(v.shape) for name in parts for k, v in content[name].items()}
    wanted = {f"{name}.{k}": tuple(v.shape) for name in parts for k, v in parts[name].state_dict().items()}
    if given != wanted:
        key = min(k for k in given.keys() | wanted.keys() if given.get(k) != wanted.get(k))
        raise InputError(
            f"checkpoint {path} holds another model: {key} is {given.get(key, 'not there')} in the file and "
            f"{wanted.get(key, 'not there')} here. Set model, dataset and experiment as it was trained with"
        )
    for name, module in parts.items():
        module.load_state_dict(content[name])
    return {k: v for k, v in content.items() if k not in ("backbone", "classifier", "schema")}


def stage1_of(folder: Path, given: str | None, sha256: str | None) -> Path:
    """Find a run's stage 1: in its folder, or where it was given to the run.

    Args:
        folder: The run's.
        given: The path that it was given by; None where the run has trained it.
        sha256: Of the given file's content; None in runs before it was kept.

    Raises:
        InputError: it is not there, or may be another model than the run's.
    """
    path = folder / "stage1.ckpt"
    if given is None:
        return path
    what, cure = f"the stage 1 that {folder} was made with", f"copy that to {path}"
    if not path.exists():
        path = Path(given)
        if not path.is_absolute() and sha256 is None:
            raise InputError(f"{given}, {what}, lies relative to a folder that the run does not name: {cure}")
    if not path.is_file():
        raise InputError(f"{path}, {what}, is not there: {cure}")
    if sha256 is not None and sha256_of(path) != sha256:
        raise InputError(f"{path} is another file than {what}, whose SHA-256 is {sha256}: {cure}")
    return path
