"""The transform of ImageNet: random parts of an image, of random size and shape; the middle in evaluation."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from lt_calib.errors import InputError
from lt_calib.transform.color_jitter import check_strengths, color_jitter
from lt_calib.transform.crop_flip import CropFlip, normalize

KEPT = 224 / 256  # of the shorter side, in evaluation
TRIES = 10  # of a part that fits, as torchvision has it


class ResizedCrop(CropFlip):
    """Training: a random part, resized, mirrored at random, normalized. Evaluation: the middle square, normalized.

    Images in files are kept as the middle square of the image at size * 256 / 224 pixels, and the parts are of that.
    Where they are read anew each epoch the parts are of the whole image, as torchvision's RandomResizedCrop draws them.

    Args:
        mean: Of each channel, on images scaled to [0, 1].
        std: Standard deviation, likewise.
        size: Side of what the network sees, in pixels; None takes that of the images.
        scale: Least and largest share of the area of a part, 0 < a <= b <= 1.
        ratio: Least and largest aspect ratio of a part, 0 < a <= b; its logarithm is uniform.
        flip: Whether training images are mirrored at random.
        color_jitter: How much brightness, contrast, saturation and hue change in training, see
            :func:`lt_calib.transform.color_jitter.color_jitter`; None changes no color.

    Raises:
        ValueError: a setting out of its range.

    Reference:
        Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        size: int | None = None,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        flip: bool = True,
        color_jitter: Sequence[float] | None = None,
    ) -> None:
        super().__init__(mean, std, padding=0, flip=flip)
        if not (len(scale) == len(ratio) == 2 and 0 < scale[0] <= scale[1] <= 1 and 0 < ratio[0] <= ratio[1]):
            raise ValueError(
                f"transform.scale {list(scale)} must be [a, b] with 0 < a <= b <= 1, and transform.ratio {list(ratio)} "
                "[a, b] with 0 < a <= b"
            )
        self.size = size
        self.scale = tuple(scale)
        self.ratio = tuple(ratio)
        self.color_jitter = check_strengths(color_jitter) if color_jitter is not None else None

    def kept(self, size: int) -> int:
        """Return the side at which an image is kept for a network that sees ``size``: that, where no size is set."""
        if self.size not in (None, size):
            raise InputError(f"transform.size={self.size} and dataset.size={size} must agree: leave the former out")
        return round(size / KEPT) if self.size else size

    def fit(self, image: Image.Image, size: int) -> Image.Image:
        """Bring a decoded RGB image to ``size`` x ``size``: its middle square."""
        return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)

    def part(self, width: int, height: int, generator: torch.Generator) -> tuple[float, float, float, float]:
        """Draw the part of one whole image that training sees: (left, top, right, bottom), in pixels."""
        low, high = (math.log(r) for r in self.ratio)
        for area, shape, across, down in torch.rand(TRIES, 4, generator=generator, dtype=torch.float64).tolist():
            area = width * height * (self.scale[0] + (self.scale[1] - self.scale[0]) * area)
            shape = math.exp(low + (high - low) * shape)
            w, h = math.sqrt(area * shape), math.sqrt(area / shape)
            if w <= width and h <= height:
                left, top = across * (width - w), down * (height - h)
                return left, top, left + w, top + h
        shape = min(max(width / height, self.ratio[0]), self.ratio[1])  # the middle, as large as fits
        w, h = min(width, height * shape), min(height, width / shape)
        return (width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2

    def vary(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Mirror parts at random and change their colors, (B, H, W, C) uint8 -> the same."""
        if self.flip:
            mirrored = torch.rand(len(images), generator=generator) < 0.5
            images = torch.stack([x.flip(1) if turn else x for x, turn in zip(images, mirrored.tolist(), strict=True)])
        return self._recolored(images, generator)

    def _recolored(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return images if self.color_jitter is None else color_jitter(images, self.color_jitter, generator)

    def train(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Transform a training batch on its device, (B, H, W, C) uint8 -> (B, C, size, size) float32."""
        b, h, w, _ = images.shape
        side = self.size or h
        draw = torch.rand(4, b, generator=generator, device=images.device)
        area = h * w * (self.scale[0] + (self.scale[1] - self.scale[0]) * draw[0])
        low, high = (math.log(r) for r in self.ratio)
        shape = torch.exp(low + (high - low) * draw[1])
        height, width = ((area / shape).sqrt() / h).clamp(max=1), ((area * shape).sqrt() / w).clamp(max=1)
        top, left = (1 - height) * (2 * draw[2] - 1), (1 - width) * (2 * draw[3] - 1)  # of the middle, in [-1, 1]
        if self.flip:
            mirrored = torch.rand(b, generator=generator, device=images.device) < 0.5
            width = torch.where(mirrored, -width, width)
        zero = torch.zeros_like(width)
        affine = torch.stack([torch.stack([width, zero, left], 1), torch.stack([zero, height, top], 1)], 1)
        grid = F.affine_grid(affine, [b, 1, side, side], align_corners=False)
        parts = F.grid_sample(images.permute(0, 3, 1, 2).float(), grid, padding_mode="border", align_corners=False)
        return normalize(self._recolored(parts.permute(0, 2, 3, 1), generator), self.mean, self.std)

    def evaluate(self, images: Tensor) -> Tensor:
        """Transform a batch without chance, (B, H, W, C) uint8 -> (B, C, size, size) float32."""
        h, w = images.shape[1:3]
        side = min(self.size or h, h, w)
        top, left = (h - side) // 2, (w - side) // 2
        return super().evaluate(images[:, top : top + side, left : left + side])
