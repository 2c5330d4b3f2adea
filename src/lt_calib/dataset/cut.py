"""Parts made long-tailed: what is kept for training and what is held out."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_calib.dataset.long_tail import UNEVEN, split_indices, wanted_counts
from lt_calib.dataset.split import Part, split_off
from lt_calib.errors import InputError

log = logging.getLogger(__name__)


def cut(
    parts: Mapping[str, Part],
    class_names: Sequence[str],
    imbalance_factor: float | None,
    profile: str = "exp",
    counts: Sequence[int] | None = None,
    val_per_class: int = 0,
    val_fraction: float = 0.0,
    split_seed: int = 0,
) -> tuple[dict[str, Part], float]:
    """Cut the training part to a long tail, and hold out a validation part.

    Args:
        parts: ``"train"``, ``"test"`` and, where the source brings one along, ``"val"``.
        class_names: K names.
        imbalance_factor: IF = n_max / n_min >= 1; None keeps the counts, in their order where nothing is held out.
        profile: See :func:`lt_calib.dataset.long_tail.class_counts`.
        counts: (K,) images that are kept of each class, in the place of both.
        val_per_class: V >= 0 images of each class, a balanced part.
        val_fraction: In [0, 1), of each class of the tail that is left: a part that is as long-tailed. A class too
            small to spare an image keeps them all; groups stay whole.
        split_seed: Seed of the split.

    Returns:
        The parts, and the factor that there really is: n_max / n_min of what is left where the validation part takes
        images from a class, IF where the profile is whole.

    Raises:
        InputError: a class without an image, or a validation part that cannot be held out.
        ValueError: a number out of its range.
    """
    train = parts["train"]
    available = torch.bincount(train.targets, minlength=len(class_names)).tolist()
    if 0 in available:
        raise InputError(f"class {class_names[available.index(0)]} has no training image that can be read")
    if val_per_class and val_fraction:
        raise InputError(
            f"dataset.val_per_class={val_per_class} holds a balanced part out and dataset.val_fraction={val_fraction} "
            "a long-tailed one: set one of them to 0"
        )
    if (val_per_class or val_fraction) and "val" in parts:
        key = "val_per_class" if val_per_class else "val_fraction"
        raise InputError(
            f"dataset.{key}={val_per_class or val_fraction}: the source has a validation part; set it to 0"
        )
    if val_per_class and train.groups:
        raise InputError(
            f"dataset.val_per_class={val_per_class}: the source has groups, which a held-out part would tear apart; "
            "dataset.val_fraction=0.1 holds whole groups out, or name val in a split"
        )
    wanted = wanted_counts(available, imbalance_factor, profile, counts)
    if sum(wanted) < sum(available) and max(available) > UNEVEN * min(available):
        dropped = sum(available) - sum(wanted)
        log.info("%d of %d training images are left out; kept are %s.", dropped, sum(available), wanted)
    kept = {"train": train}
    if wanted != available or val_per_class or imbalance_factor is not None:
        ours, held = split_indices(train.targets.numpy(), wanted, val_per_class, split_seed)
        kept = {"train": train[ours]} | ({"val": train[held]} if len(held) else {})
    if val_fraction:
        ours = kept["train"]
        held_out = split_off(
            ours.targets.numpy(), val_fraction, split_seed, ours.groups or None, "dataset.val_fraction"
        )
        if not held_out.any():
            raise InputError(
                f"dataset.val_fraction={val_fraction} holds no image out of {len(held_out)}: take a larger"
            )
        kept = {"train": ours[np.flatnonzero(~held_out)], "val": ours[np.flatnonzero(held_out)]}
    left = torch.bincount(kept["train"].targets, minlength=len(class_names)).tolist()
    whole = left == wanted and imbalance_factor is not None and counts is None
    factor = imbalance_factor if whole else max(left) / min(left)
    return {**kept, **{split: part for split, part in parts.items() if split not in kept}}, factor  # type: ignore[return-value]


def fingerprint(part: Part) -> str:
    """Hash images and labels: the pixels, or of files their contents, wherever they lie."""
    total = hashlib.sha256(b"".join(part.hashes))
    for tensor in (part.images, part.targets):
        if isinstance(tensor, Tensor):
            total.update(tensor.contiguous().numpy().data)
    return total.hexdigest()


def resized(images: Any, size: int | None) -> Tensor:
    """Resize images (N, H, W, C) uint8 to (N, size, size, C), bilinear and antialiased; None leaves them."""
    if size is None or images.shape[1:3] == (size, size):
        return images
    parts = []
    for part in images.split(1000):
        moved = part.permute(0, 3, 1, 2).float()
        large = F.interpolate(moved, (size, size), mode="bilinear", align_corners=False, antialias=True)
        parts.append(large.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1))
    return torch.cat(parts).contiguous()
