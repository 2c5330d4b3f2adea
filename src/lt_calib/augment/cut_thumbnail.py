"""Cut-Thumbnail."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_calib.augment.draw import check_per, check_size, number_of_draws, pixels

Batch = tuple[Tensor, Tensor]


class CutThumbnail:
    """Shrink each picture and paste it into itself, wholly inside, at one uniform place a batch; labels unchanged.

    Args:
        size: Side of the thumbnail: a fraction of the image's, in (0, 1), or pixels, >= 1 and fewer than the image's.
        prob: Probability of pasting, for each draw, in [0, 1].
        per: ``"batch"`` draws once a batch, as the authors do; ``"picture"`` for each picture.

    Shape:
        images (B, 3, H, W) float, targets (B, K) float; returns the same.

    Raises:
        ValueError: a setting out of its range.

    Reference:
        Xie et al., "Cut-Thumbnail: A Novel Data Augmentation for Convolutional Neural Network", ACM MM 2021.
    """

    def __init__(self, size: int | float = 0.5, prob: float = 0.8, per: str = "batch") -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"prob {prob} must be in [0, 1]")
        self.size = check_size(size)
        self.prob = prob
        self.per = check_per(per)

    def __call__(
        self, images: Tensor, targets: Tensor, generator: torch.Generator, partner: Batch | None = None
    ) -> Batch:
        """Paste the thumbnails."""
        inside, pasted = paste(images, pixels(self.size, images), self.prob, self.per, generator)
        return torch.where(inside, pasted, images), targets


def paste(images: Tensor, size: int, prob: float, per: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw where thumbnails go, and lay the thumbnails of ``images`` there.

    Shape:
        images (B, 3, H, W); returns where they lie, (B or 1, 1, H, W) bool, and pictures (B, 3, H, W) whose pixels
        there are the thumbnails'.

    Raises:
        ValueError: the thumbnail is not smaller than the picture.
    """
    b, _, h, w = images.shape
    device = images.device
    if size >= min(h, w):
        raise ValueError(f"size {size} must be smaller than the picture, {h} x {w}")
    draws = number_of_draws(per, b)
    chosen = torch.rand(draws, device=device, generator=generator) < prob
    top = torch.randint(h - size + 1, (draws, 1), device=device, generator=generator)
    left = torch.randint(w - size + 1, (draws, 1), device=device, generator=generator)
    thumbnail = F.interpolate(images, size=(size, size), mode="nearest")
    rows = torch.arange(h, device=device) - top  # (draws, H), the thumbnail's row at each of the picture's
    columns = torch.arange(w, device=device) - left  # (draws, W)
    in_rows, in_columns = (rows >= 0) & (rows < size), (columns >= 0) & (columns < size)
    inside = in_rows[:, :, None] & in_columns[:, None, :] & chosen[:, None, None]
    batch = torch.arange(b, device=device)[:, None, None]
    pasted = thumbnail[batch, :, rows.clamp(0, size - 1)[:, :, None], columns.clamp(0, size - 1)[:, None, :]]
    return inside[:, None], pasted.permute(0, 3, 1, 2)
