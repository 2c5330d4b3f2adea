"""A balanced source made long-tailed: what is trained on, what is held out, what is tested."""

import hashlib

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_calib.dataset.long_tail import class_counts, split_indices
from lt_calib.dataset.source import Source
from lt_calib.errors import InputError

UNEVEN = 1.2  # largest over smallest class of a source that still counts as balanced
Splits = dict[str, tuple[Tensor, Tensor]]  # images (N, H, W, C) uint8, targets (N,) int64


def cut(
    source: Source, imbalance_factor: float, val_per_class: int, split_seed: int, size: int | None = None
) -> tuple[Splits, float]:
    """Cut the profile n_c = int(n_max IF^(-c / (K - 1))), and hold out a balanced validation part.

    Args:
        source: Balanced.
        imbalance_factor: IF = n_max / n_min >= 1.
        val_per_class: V >= 0 images of each class.
        split_seed: Seed of the split.
        size: Side in pixels to which all images are resized; None leaves them.

    Returns:
        ``"train"``, ``"val"`` where V > 0, and ``"test"``; and the factor that there really is: n_max / n_min of what
        is left where the validation part takes images from a class, IF where the profile is whole.

    Raises:
        InputError: the source is long-tailed by itself.
        ValueError: a number out of its range.
    """
    available = torch.bincount(source.train_targets)
    if int(available.max()) > UNEVEN * int(available.min()):
        raise InputError(
            f"dataset.source has {int(available.max())} to {int(available.min())} training images per class "
            f"({available.tolist()[:20]}). It would be cut to its smallest class before a tail is made of it; only "
            "balanced sources can be taken as yet"
        )
    wanted = class_counts(int(available.min()), len(available), imbalance_factor)
    train, val = split_indices(source.train_targets.numpy(), wanted, val_per_class, split_seed)
    splits = {"train": (source.train_images[train], source.train_targets[train])}
    if len(val):
        splits["val"] = source.train_images[val], source.train_targets[val]
    splits["test"] = source.test_images, source.test_targets
    left = torch.bincount(splits["train"][1]).tolist()
    factor = imbalance_factor if left == wanted else max(left) / min(left)
    return {split: (resized(images, size), targets) for split, (images, targets) in splits.items()}, factor


def fingerprint(*tensors: Tensor) -> str:
    """Hash what tensors hold."""
    total = hashlib.sha256()
    for tensor in tensors:
        total.update(tensor.contiguous().numpy().data)
    return total.hexdigest()


def resized(images: Tensor, size: int | None) -> Tensor:
    """Resize images (N, H, W, C) uint8 to (N, size, size, C), bilinear and antialiased; None leaves them."""
    if size is None or images.shape[1:3] == (size, size):
        return images
    parts = []
    for part in images.split(1000):
        moved = part.permute(0, 3, 1, 2).float()
        large = F.interpolate(moved, (size, size), mode="bilinear", align_corners=False, antialias=True)
        parts.append(large.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1))
    return torch.cat(parts).contiguous()
