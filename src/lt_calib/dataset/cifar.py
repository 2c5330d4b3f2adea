"""CIFAR-10 and CIFAR-100, read and checked by torchvision."""

import torch
from torchvision import datasets

from lt_calib.dataset.source import Source
from lt_calib.dataset.torchvision import opened


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
    train = opened(dataset, root, dataset.base_folder, train=True)
    test = opened(dataset, root, dataset.base_folder, train=False)
    return Source(
        torch.from_numpy(train.data),
        torch.tensor(train.targets),
        torch.from_numpy(test.data),
        torch.tensor(test.targets),
        tuple(train.classes),
    )
