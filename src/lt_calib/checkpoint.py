"""Files that are either whole or not there: written to a temporary name, synced, renamed."""

import os
import pickle
from collections.abc import Callable
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
            "and the same command goes on after the last finished epoch"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_remains(folder: Path) -> None:
    """Remove what a process that was killed while writing has left."""
    for path in folder.glob("*.part"):
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


def load_stage(path: Path, backbone: nn.Module, classifier: nn.Module, data: dict[str, Any]) -> dict[str, Any]:
    """Load one finished stage into the modules, and return what was kept beside the weights.

    Only plain values and tensors are unpickled.

    Args:
        path: Of the checkpoint.
        backbone: Takes the weights.
        classifier: Takes the weights.
        data: What decides which pictures are trained on; must equal what was kept, since a stage 1 that has seen the
            validation part, say, would make every choice on it worthless.

    Raises:
        InputError: the file is missing, damaged, not ours, of another model, or of other data.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"checkpoint {path} is not there; check the path of stage1.ckpt_path") from error
    except pickle.UnpicklingError as error:  # torch's own message advises to unpickle it all the same
        raise InputError(
            f"checkpoint {path} cannot be read: it is no checkpoint, or holds what would be run when it is unpickled. "
            "Take a stage 1 that lt_calib has written"
        ) from error
    except (OSError, EOFError, RuntimeError) as error:
        raise InputError(
            f"checkpoint {path} cannot be read, it is damaged or no checkpoint ({str(error).splitlines()[0][:100]}). "
            "Train it again, or take another"
        ) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(f"checkpoint {path} is none of lt_calib's, or of another schema than {SCHEMA}")
    kept = content.get("data", {})
    if kept != data:
        keys = sorted(k for k in kept.keys() | data.keys() if kept.get(k) != data.get(k))
        raise InputError(
            f"checkpoint {path} was trained on other data: "
            + "; ".join(f"{k} was {kept.get(k, 'not kept')}, here it is {data.get(k)}" for k in keys)
            + ". Set dataset.* as it was trained with"
        )
    for name, module in {"backbone": backbone, "classifier": classifier}.items():
        given = {k: tuple(v.shape) for k, v in content[name].items()}
        wanted = {k: tuple(v.shape) for k, v in module.state_dict().items()}
        if given != wanted:
            key = min(k for k in given.keys() | wanted.keys() if given.get(k) != wanted.get(k))
            raise InputError(
                f"checkpoint {path} holds another model: {name}.{key} is {given.get(key, 'not there')} in the file and "
                f"{wanted.get(key, 'not there')} here. Set model, dataset and experiment as it was trained with"
            )
        module.load_state_dict(content[name])
    return {k: v for k, v in content.items() if k not in ("backbone", "classifier", "schema")}
