"""CutOut."""

import torch
from torch import Tensor

from lt_calib.augment.draw import check_size, pixels

Batch = tuple[Tensor, Tensor]


class CutOut:
    """Set one square hole a picture to zero; its centre is uniform over the picture, so that it may be clipped.

    The hole has exactly this side; the authors' code cuts 2 floor(size / 2) pixels, one less where size is odd.
    Pictures are normalised before, so zero is the mean colour. Targets are unchanged.

    Args:
        size: Side of the hole in pixels, >= 1 (16 on CIFAR-10, 8 on CIFAR-100), or a fraction of the image's in (0, 1).
        prob: Probability of a hole, for each picture, in [0, 1].

    Shape:
        images (B, 3, H, W) float, targets (B, K) float; returns the same.

    Raises:
        ValueError: a setting out of its range.

    Reference:
        DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.
    """

    def __init__(self, size: int | float = 16, prob: float = 1.0) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"prob {prob} must be in [0, 1]")
        self.size = check_size(size)
        self.prob = prob

    def __call__(
        self, images: Tensor, targets: Tensor, generator: torch.Generator, partner: Batch | None = None
    ) -> Batch:
        """Cut the holes."""
        b, _, h, w = images.shape
        device, size = images.device, pixels(self.size, images)
        chosen = torch.rand(b, device=device, generator=generator) < self.prob
        top = torch.randint(h, (b, 1), device=device, generator=generator) - size // 2
        left = torch.randint(w, (b, 1), device=device, generator=generator) - size // 2
        rows = torch.arange(h, device=device)
        columns = torch.arange(w, device=device)
        in_rows = (rows >= top) & (rows < top + size)  # (B, H)
        in_columns = (columns >= left) & (columns < left + size)  # (B, W)
        hole = in_rows[:, None, :, None] & in_columns[:, None, None, :] & chosen[:, None, None, None]
        return images.clone().masked_fill_(hole, 0.0), targets  # in place, which keeps the memory format
