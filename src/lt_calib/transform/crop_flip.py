"""The standard transform of CIFAR, on a whole batch: random crop, flip, normalization."""

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


class CropFlip:
    """Training: a random crop of the zero-padded image, mirrored at random, normalized. Evaluation: normalized.

    Args:
        mean: Of each channel, on images scaled to [0, 1].
        std: Standard deviation, likewise.
        padding: Pixels around the image for the random crop, >= 0.
        flip: Whether training images are mirrored at random.

    Raises:
        ValueError: padding is below 0.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], padding: int = 4, flip: bool = True) -> None:
        if padding < 0:
            raise ValueError(f"dataset.padding {padding} must be >= 0")
        self.mean = list(mean)
        self.std = list(std)
        self.padding = padding
        self.flip = flip

    def train(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Transform a training batch on its device, (B, H, W, C) uint8 -> (B, C, H, W) float32."""
        return normalize(random_crop_flip(images, generator, self.padding, self.flip), self.mean, self.std)

    def evaluate(self, images: Tensor) -> Tensor:
        """Transform a batch without chance, (B, H, W, C) uint8 -> (B, C, H, W) float32."""
        return normalize(images, self.mean, self.std)

    def undo(self, images: Tensor) -> Tensor:
        """Show what the network sees, (B, C, H, W) float32 -> (B, H, W, C) in [0, 1]."""
        mean, std = (torch.tensor(x, device=images.device) for x in (self.mean, self.std))
        return (images.float().permute(0, 2, 3, 1) * std + mean).clamp(0, 1)


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
    shift, scale = _on(images.device, tuple(mean), tuple(std))
    return ((images - shift) / scale).permute(0, 3, 1, 2)


@cache
def _on(device: torch.device, *constants: tuple[float, ...]) -> tuple[Tensor, ...]:
    # Copied to the device once: a copy at every step would have the host wait for a GPU each time.
    return tuple(torch.tensor(values, device=device) * 255 for values in constants)
