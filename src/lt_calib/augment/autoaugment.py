"""AutoAugment with the policy that was found on CIFAR-10."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torchvision.transforms.v2.functional as tv
from torch import Tensor
from torchvision.transforms import AutoAugment as Torchvision
from torchvision.transforms import AutoAugmentPolicy, InterpolationMode

from lt_calib.transform.crop_flip import check_normalization

Batch = tuple[Tensor, Tensor]
POLICY = Torchvision(AutoAugmentPolicy.CIFAR10).policies  # 25 pairs of (operation, probability, level 0 .. 9)
SIGNED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness")


class AutoAugment:
    """One of the policy's 25 pairs of operations for each picture, on pictures of 8 bits, before any mixing.

    The pairs are the paper's table; magnitudes, signs and the black fill are torchvision's, which differ a little from
    the authors' code (theirs have levels of m / 10, unsigned colours, a grey fill, posterise to fewer bits, and
    translations of m pixels).
    Each operation of the pair is applied with its probability, at the magnitude of its level m in 0 .. 9, the sign of
    those that have one at random: shear 0.3 m / 9, translation 150 / 331 m / 9 of the side, rotation 30 m / 9 degrees,
    brightness, colour, contrast and sharpness 1 +- 0.9 m / 9, posterise to 8 - round(m / 2.25) bits, solarise above
    255 (1 - m / 9). What moves is filled with black.

    Args:
        mean: Of each channel, by which the pictures were normalised.
        std: Likewise.
        then: An augmentation that follows, such as CutMix; None for none.

    Shape:
        images (B, 3, H, W) float, normalised; targets (B, K) float; returns the same, or what ``then`` returns.

    Raises:
        InputError: mean or std is out of its range.

    Reference:
        Cubuk et al., "AutoAugment: Learning Augmentation Strategies from Data", CVPR 2019, table 7.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], then: Callable[..., Any] | None = None) -> None:
        check_normalization(mean, std)
        self.mean = torch.tensor(mean)[:, None, None]
        self.std = torch.tensor(std)[:, None, None]
        self.then = then

    def set_epoch(self, epoch: int) -> None:
        """Tell the epoch, 0-based, to the augmentation that follows."""
        if hasattr(self.then, "set_epoch"):
            self.then.set_epoch(epoch)  # type: ignore[union-attr]

    def __call__(
        self, images: Tensor, targets: Tensor, generator: torch.Generator, partner: Batch | None = None
    ) -> Batch:
        """Augment the batch, and its partners."""
        images = self.apply_policy(images, generator)
        if self.then is None:
            return images, targets
        if partner is not None:
            partner = self.apply_policy(partner[0], generator), partner[1]
        return self.then(images, targets, generator, partner)

    def apply_policy(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Apply a random pair of operations to each picture."""
        device = images.device
        mean, std = self.mean, self.std = self.mean.to(device), self.std.to(device)  # copied once
        pictures = ((images * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
        b = len(pictures)
        pair = torch.randint(len(POLICY), (b,), device=device, generator=generator)
        applied = torch.rand(2, b, device=device, generator=generator)
        negative = torch.rand(2, b, device=device, generator=generator) < 0.5
        # Which rows there are is asked of the CPU, and told to the device, in one copy each.
        pair, *drawn = torch.cat([pair[None], applied, negative]).cpu()
        chosen = [(k, *rest) for k in (0, 1) for rest in rows_of(pair, drawn[k], drawn[2 + k] > 0, k)]
        places = torch.cat([rows for *_, rows in chosen]).to(device).split([len(rows) for *_, rows in chosen])
        for step in (0, 1):
            done = pictures.clone()
            for (of, name, level, sign, _), rows in zip(chosen, places, strict=True):
                if of == step and len(rows):
                    done[rows] = operate(pictures[rows], name, level, sign)
            pictures = done
        out = ((pictures.to(images.dtype) / 255 - mean) / std).to(images.dtype)
        return out.contiguous(memory_format=torch.channels_last)


def rows_of(
    pair: Tensor, applied: Tensor, negative: Tensor, step: int
) -> Iterator[tuple[str, int | None, int, Tensor]]:
    """List the operations of one step of the pairs, each with its level, sign and rows of the batch."""
    for p, operations in enumerate(POLICY):
        name, probability, level = operations[step]
        chosen = (pair == p) & (applied < probability)
        for sign in (1, -1) if name in SIGNED else (1,):
            rows = chosen & (negative == (sign < 0)) if name in SIGNED else chosen
            yield name, level, sign, rows.nonzero().squeeze(1)


def operate(pictures: Tensor, name: str, level: int | None, sign: int) -> Tensor:
    """Apply one operation to pictures (B, 3, H, W) uint8, at a level 0 .. 9 and with a sign of 1 or -1."""
    m = (level or 0) / 9
    h, w = pictures.shape[-2:]
    if name in ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"):
        shear, shift, angle = [0.0, 0.0], [0.0, 0.0], 0.0
        axis = 0 if name.endswith("X") else 1
        if name.startswith("Shear"):
            shear[axis] = sign * float(torch.rad2deg(torch.atan(torch.tensor(0.3 * m))))
        elif name.startswith("Translate"):
            shift[axis] = int(sign * 150 / 331 * (w, h)[axis] * m)
        else:
            angle = sign * 30 * m
        if name == "Rotate":
            return tv.rotate(pictures, angle, InterpolationMode.NEAREST)
        centre = [0.0, 0.0] if name.startswith("Shear") else None  # the authors shear about the corner
        return tv.affine(pictures, 0.0, shift, 1.0, shear, InterpolationMode.NEAREST, center=centre)
    factor = 1 + sign * 0.9 * m
    operations: dict[str, Callable[[], Tensor]] = {
        "Brightness": lambda: tv.adjust_brightness(pictures, factor),
        "Color": lambda: tv.adjust_saturation(pictures, factor),
        "Contrast": lambda: tv.adjust_contrast(pictures, factor),
        "Sharpness": lambda: tv.adjust_sharpness(pictures, factor),
        "Posterize": lambda: tv.posterize(pictures, 8 - round((level or 0) / 2.25)),
        "Solarize": lambda: tv.solarize(pictures, 255 * (1 - m)),
        "AutoContrast": lambda: tv.autocontrast(pictures),
        "Equalize": lambda: tv.equalize(pictures),
        "Invert": lambda: tv.invert(pictures),
    }
    return operations[name]()
