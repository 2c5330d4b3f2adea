"""CIFAR-10 and CIFAR-100, read and checked by torchvision."""

import os
import socket
from pathlib import Path

import torch
from torchvision import datasets

from lt_calib.dataset.source import Source
from lt_calib.errors import InputError

DOWNLOAD_TIMEOUT = 20.0  # seconds without a byte


def cifar10(root: str) -> Source:
    """Load CIFAR-10: 10 classes, 50 000 training and 10 000 test pictures.

    Args:
        root: The folder that holds ``cifar-10-batches-py/``; downloaded there if absent.

    Raises:
        InputError: neither files nor a network.
    """
    return _load(datasets.CIFAR10, root)


def cifar100(root: str) -> Source:
    """Load CIFAR-100: 100 classes, 50 000 training and 10 000 test pictures.

    Args:
        root: The folder that holds ``cifar-100-python/``; downloaded there if absent.

    Raises:
        InputError: neither files nor a network.
    """
    return _load(datasets.CIFAR100, root)


def _load(dataset: type[datasets.CIFAR10], root: str) -> Source:
    train = _open(dataset, root, train=True)
    test = _open(dataset, root, train=False)
    return Source(
        torch.from_numpy(train.data),
        torch.tensor(train.targets),
        torch.from_numpy(test.data),
        torch.tensor(test.targets),
        tuple(train.classes),
    )


def _open(dataset: type[datasets.CIFAR10], root: str, train: bool) -> datasets.CIFAR10:
    # torchvision compares every file's MD5 sum before it unpickles one.
    try:
        return dataset(root, train=train, download=False)
    except (RuntimeError, OSError):  # the latter of a file that may not be read
        pass
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)  # torchvision sets none: without a network it could hang
    try:
        return dataset(root, train=train, download=True)
    except (OSError, RuntimeError) as error:
        folder = Path(root).resolve() / dataset.base_folder
        state = _state(folder)
        raise InputError(
            f"{dataset.__name__}: {folder} is {state}, and the download failed ({error}).\n"
            "Three ways out:\n"
            f"  dataset.root=FOLDER     a folder that holds {dataset.base_folder}/ (or set LT_CALIB_DATA)\n"
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
