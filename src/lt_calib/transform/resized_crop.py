"""The transform of ImageNet: random parts of an image, of random size and shape; the middle in evaluation."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from lt_calib.transform.crop_flip import CropFlip, normalize

KEPT = 224 / 256  # of the shorter side, in evaluation


class ResizedCrop(CropFlip):
    """Training: a random part, resized, mirrored at random, normalized. Evaluation: the middle square, normalized.

    Images in files are kept as the middle square of the image at size * 256 / 224 pixels, and the parts are of that.

    Args:
        mean: Of each channel, on images scaled to [0, 1].
        std: Standard deviation, likewise.
        size: Side of what the network sees, in pixels; None takes that of the images.
        scale: Least and largest share of the area of a part, 0 < a <= b <= 1.
        ratio: Least and largest aspect ratio of a part, 0 < a <= b; its logarithm is uniform.
        flip: Whether training images are mirrored at random.

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

    def kept(self, size: int) -> int:
        """Return the side at which an image is kept for a network that sees ``size``: that, where no size is set."""
        return round(size / KEPT) if self.size else size

    def fit(self, image: Image.Image, size: int) -> Image.Image:
        """Bring a decoded RGB image to ``size`` x ``size``: its middle square."""
        return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)

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
        return normalize(parts.permute(0, 2, 3, 1), self.mean, self.std)

    def evaluate(self, images: Tensor) -> Tensor:
        """Transform a batch without chance, (B, H, W, C) uint8 -> (B, C, size, size) float32."""
        h, w = images.shape[1:3]
        side = min(self.size or h, h, w)
        top, left = (h - side) // 2, (w - side) // 2
        return super().evaluate(images[:, top : top + side, left : left + side])
