"""The standard transform of CIFAR, on a whole batch: random crop, flip, normalization."""

from collections.abc import Iterable, Sequence
from functools import cache
from numbers import Real

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_calib.errors import InputError


class CropFlip:
    """Training: a random crop of the zero-padded image, mirrored at random, normalized. Evaluation: normalized.

    Args:
        mean: Of each channel, or one for all, on images scaled to [0, 1]; in [0, 1].
        std: Standard deviation, likewise, in [0.001, 1].
        padding: Pixels around the image for the random crop, >= 0.
        flip: Whether training images are mirrored at random.

    Raises:
        ValueError: padding is below 0.
        InputError: mean or std is out of its range.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], padding: int = 4, flip: bool = True) -> None:
        check_normalization(mean, std)
        if padding < 0:
            raise ValueError(f"dataset.padding {padding} must be >= 0")
        self.mean = list(mean)
        self.std = list(std)
        self.padding = padding
        self.flip = flip

    def train(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Transform a training batch on its device, (B, H, W, C) uint8 -> (B, C, H, W) float32."""
        return normalize(self.vary(images, generator), self.mean, self.std)

    def vary(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Do what training does before it normalizes, (B, H, W, C) uint8 -> the same."""
        return random_crop_flip(images, generator, self.padding, self.flip)

    def evaluate(self, images: Tensor) -> Tensor:
        """Transform a batch without chance, (B, H, W, C) uint8 -> (B, C, H, W) float32."""
        return normalize(images, self.mean, self.std)

    def undo(self, images: Tensor) -> Tensor:
        """Show what the network sees, (B, C, H, W) float32 -> (B, H, W, C) in [0, 1]."""
        mean, std = (torch.tensor(x, device=images.device) for x in (self.mean, self.std))
        return (images.float().permute(0, 2, 3, 1) * std + mean).clamp(0, 1)


def check_normalization(mean: Sequence[float], std: Sequence[float], channels: int | None = None) -> None:
    """Refuse what no image is to be normalized by.

    Args:
        mean: Of each channel, or one for all, each in [0, 1].
        std: Likewise, in [0.001, 1]: that of images of 8 bits is never below a quarter of a level.
        channels: C of the images; None where they are not known yet.

    Raises:
        InputError: a list of no numbers, a number out of its range, or lists of other lengths than 1 and C.
    """
    for key, values, least in (("mean", mean, 0), ("std", std, 0.001)):
        numbers = list(values) if isinstance(values, Iterable) and not isinstance(values, str) else []
        real = all(isinstance(x, Real) and not isinstance(x, bool) for x in numbers)
        if not numbers or not real or not all(least <= x <= 1 for x in numbers):
            raise InputError(
                f"dataset.{key} {values} must be a list of numbers in [{least}, 1], one for each channel: values are "
                "for images scaled to [0, 1]; divide by 255 what is for 0 to 255"
            )
    if len({len(mean), len(std), channels or 1} - {1}) > 1:
        images = f", and the images have {channels} channels" if channels else ""
        raise InputError(
            f"dataset.mean {list(mean)} has {len(mean)} numbers, dataset.std {list(std)} {len(std)}{images}: give one "
            "for each channel, or one for all"
        )


def random_crop_flip(images: Tensor, generator: torch.Generator, padding: int = 4, flip: bool = True) -> Tensor:
    """Crop each image from its zero-padded self at a uniform place, and mirror it with probability 1/2.

    The same distribution as torchvision's ``RandomCrop(H, padding)`` and ``RandomHorizontalFlip``.

    Args:
        images: Not normalized.
        generator: Local generator on the images' device.
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


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Scale to [0, 1], subtract the mean and divide by the standard deviation of each channel.

    Shape:
        (B, H, W, C) uint8 -> (B, C, H, W) float32 in channels-last memory.
    """
    b, h, w, c = images.shape
    shift, scale = _on(images.device, w, c, tuple(mean), tuple(std))
    # By whole rows: three channels at a time are slow on a CPU.
    return (
        images.reshape(b * h, w * c)
        .to(torch.float32, copy=True)
        .sub_(shift)
        .div_(scale)
        .reshape(b, h, w, c)
        .permute(0, 3, 1, 2)
    )


@cache
def _on(device: torch.device, width: int, channels: int, *constants: tuple[float, ...]) -> tuple[Tensor, ...]:
    # Copied to the device once: a copy at every step would have the host wait for a GPU each time.
    return tuple((torch.tensor(of, device=device) * 255).expand(channels).repeat(width) for of in constants)
