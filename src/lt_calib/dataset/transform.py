"""The standard transform of CIFAR, on a whole batch: random crop, flip, normalisation."""

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


def random_crop_flip(images: Tensor, generator: torch.Generator, padding: int = 4, flip: bool = True) -> Tensor:
    """Crop each picture from its zero-padded self at a uniform place, and mirror it with probability 1/2.

    The same distribution as torchvision's ``RandomCrop(H, padding)`` and ``RandomHorizontalFlip``.

    Args:
        images: Pictures, not normalised.
        generator: Local generator on the pictures' device.
        padding: Zero pixels added on each side, >= 0.
        flip: Whether to mirror.

    Shape:
        (B, H, W, C) -> (B, H, W, C), dtype kept.
    """
    b, h, w, _ = images.shape
    device = images.device
    padded = F.pad(images, (0, 0, padding, padding, padding, padding))
    top, left = torch.randint(2 * padding + 1, (2, b, 1), device=device, generator=generator)
    rows = top + torch.arange(h, device=device)  # (B, H)
    columns = left + torch.arange(w, device=device)  # (B, W)
    if flip:
        mirrored = torch.rand(b, 1, device=device, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    batch = torch.arange(b, device=device)[:, None, None]
    return padded[batch, rows[:, :, None], columns[:, None, :]]


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Scale to [0, 1], subtract the mean and divide by the standard deviation of each channel.

    Shape:
        (B, H, W, 3) uint8 -> (B, 3, H, W) float32 in channels-last memory.
    """
    shift, scale = _on(images.device, tuple(mean), tuple(std))
    return ((images - shift) / scale).permute(0, 3, 1, 2)


@cache
def _on(device: torch.device, *constants: tuple[float, ...]) -> tuple[Tensor, ...]:
    # Copied to the device once: a copy at every step would have the host wait for a GPU each time.
    return tuple(torch.tensor(values, device=device) * 255 for values in constants)
