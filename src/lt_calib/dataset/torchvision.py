"""The classification sets of torchvision.datasets."""

import difflib
import inspect
import logging
import os
import socket
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from lt_calib.dataset.files import Files
from lt_calib.dataset.source import Source
from lt_calib.errors import InputError

log = logging.getLogger(__name__)

DOWNLOAD_TIMEOUT = 20.0  # seconds without a byte


def torchvision_set(root: str, *, name: str) -> Source:
    """Load a set of torchvision's by its name, with its training and test split, and its validation part if it has one.

    Images of one size are a tensor, grey ones shown in three channels; others are files. Where there is no split
    ``test``, ``val`` is taken.

    Args:
        root: The folder that torchvision keeps it in; downloaded there if absent.
        name: The class's in ``torchvision.datasets``: ``"SVHN"``, ``"FashionMNIST"``, ``"Flowers102"``.

    Raises:
        InputError: there is no such set, it has no training and test split or other labels than classes, or neither
            files nor a network.
    """
    kind = _kind(name)
    if "train" in inspect.signature(kind).parameters:
        train, test, val = opened(kind, root, train=True), opened(kind, root, train=False), None
    else:
        train, test = _split(kind, root, "train", "trainval"), _split(kind, root, "test")
        val = _split(kind, root, "val", "valid")
        if test is None:
            test, val = val, None
    if train is None or test is None:
        raise InputError(f"dataset.set={name} has no splits train and test: take dataset=folder or list for its files")
    (train_images, train_targets), (test_images, test_targets) = _samples(train, root), _samples(test, root)
    val_images, val_targets = (None, None) if val is None else _samples(val, root)
    classes = getattr(train, "classes", None) or range(int(train_targets.max()) + 1)
    names = tuple(one[0] if isinstance(one, tuple) else str(one) for one in classes)
    return Source(train_images, train_targets, test_images, test_targets, names, val_images, val_targets)


def opened(kind: Any, root: str, folder: str = "", **split: Any) -> Any:
    """Open one split of a set of torchvision's, which is downloaded if it is absent.

    Args:
        kind: The class; it checks its files before it reads them.
        root: Where they are.
        folder: In ``root``, which holds them.
        **split: As the class names it.

    Raises:
        InputError: neither files nor a network.
        ValueError: the set has no such split.
    """
    try:
        return kind(root, **split)
    except (RuntimeError, OSError) as error:  # the latter of a file that may not be read
        if "download" not in inspect.signature(kind).parameters:
            raise InputError(
                f"{kind.__name__}, which torchvision does not download, is not in {root}: {error}"
            ) from error
    log.info("%s is not in %s: it is downloaded.", kind.__name__, root)
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)  # torchvision sets none: without a network it could hang
    try:
        return kind(root, download=True, **split)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        where = Path(root).resolve() / folder
        state = _state(where) if folder else "without it, or it is damaged there"
        raise InputError(
            f"{kind.__name__}: {where} is {state}, and the download failed ({error}).\n"
            "Three ways out:\n"
            f"  dataset.root=FOLDER     a folder that holds {f'{folder}/' if folder else 'it'} (or set LT_CALIB_DATA)\n"
            "  dataset=digits_lt       real pictures that need no download\n"
            "  a network               and the same command again downloads it"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)


def _state(folder: Path) -> str:
    try:
        if not folder.exists():
            return "not there"
        readable = all(os.access(path, os.R_OK) for path in [folder, *folder.iterdir()])
    except PermissionError:
        readable = False
    return "incomplete or damaged" if readable else "not readable by you (check its permissions)"


def _kind(name: str) -> Any:
    kinds = {key: kind for key in datasets.__all__ if inspect.isclass(kind := getattr(datasets, key))}
    if name in kinds:
        return kinds[name]
    lower = {key.lower(): key for key in kinds}
    near = [lower[found] for found in difflib.get_close_matches(name.lower(), lower, cutoff=0.5)]
    raise InputError(
        f"dataset.set={name} is no set of torchvision.datasets; "
        + (f"the nearest: {', '.join(near)}" if near else "there are SVHN, FashionMNIST, STL10, GTSRB, Flowers102 ...")
    )


def _split(kind: Any, root: str, *names: str) -> Any:
    """Open the first split that the set has; None where it has none."""
    parameters = inspect.signature(kind).parameters
    if "split" not in parameters:
        return None
    paths: dict[str, Any] = (
        {"loader": str} if "loader" in parameters else {}
    )  # then an item's image is the path of its file
    for name in names:
        try:
            return opened(kind, root, split=name, **paths)
        except ValueError as error:
            if isinstance(error, InputError) or "split" not in str(error):
                raise
    return None


def _samples(dataset: Any, root: str) -> tuple[Tensor | Files, Tensor]:
    data = getattr(dataset, "data", None)
    labels: Any = getattr(dataset, "targets", getattr(dataset, "labels", None))
    if isinstance(data, np.ndarray | Tensor) and np.ndim(labels) == 1:
        return _in_color(torch.as_tensor(data)), torch.as_tensor(np.asarray(labels), dtype=torch.int64)
    names, encoded, targets, sizes = [], [], [], set()
    for i in range(len(dataset)):
        image, label = dataset[i]
        if not isinstance(label, int):
            raise InputError(
                f"dataset.set={type(dataset).__name__} has no classes as labels: its first is {label!r:.50}"
            )
        targets.append(label)
        if isinstance(image, str):
            names.append(os.path.relpath(image, root))
            continue
        content = BytesIO()
        image.convert("RGB").save(content, "PNG", compress_level=1)
        names.append(f"{i}.png")
        encoded.append(content.getvalue())
        sizes.update(image.size)
    files = Files(Path(root), tuple(names), tuple(encoded) or None)
    return (files.decode(sizes.pop())[0] if len(sizes) == 1 else files), torch.tensor(targets)


def _in_color(images: Tensor) -> Tensor:
    """Bring grey images (N, H, W), or (N, C, H, W), to (N, H, W, 3)."""
    images = images[..., None] if images.ndim == 3 else images
    images = images.movedim(1, 3) if images.shape[1] == 3 else images
    return images.expand(-1, -1, -1, 3).contiguous()
