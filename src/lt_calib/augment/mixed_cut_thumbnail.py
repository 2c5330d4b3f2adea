"""Mixed Cut-Thumbnail."""

import torch
from torch import Tensor

from lt_calib.augment.cut_thumbnail import paste
from lt_calib.augment.draw import check_per, check_size, partner_of, pixels

Batch = tuple[Tensor, Tensor]


class MixedCutThumbnail:
    """Paste the thumbnail of each picture's partner, wholly inside, and mix the labels with a fixed weight.

    Args:
        size: Side of the thumbnail: a fraction of the image's, in (0, 1), or pixels, >= 1 and fewer than the image's.
        prob: Probability of pasting, for each draw, in [0, 1].
        weight: Of the own label where a thumbnail is pasted, in [0, 1]; 0.75 equals the area at half the side.
        per: ``"batch"`` draws once a batch, as the authors do; ``"picture"`` for each picture.

    Shape:
        images (B, 3, H, W) float, targets (B, K) float; returns the same.

    Raises:
        ValueError: a setting out of its range.

    Reference:
        Xie et al., "Cut-Thumbnail: A Novel Data Augmentation for Convolutional Neural Network", ACM MM 2021.
    """

    def __init__(self, size: int | float = 0.5, prob: float = 0.8, weight: float = 0.75, per: str = "batch") -> None:
        if not (0 <= prob <= 1 and 0 <= weight <= 1):
            raise ValueError(f"prob {prob} and weight {weight} must be in [0, 1]")
        self.size = check_size(size)
        self.prob = prob
        self.weight = weight
        self.per = check_per(per)

    def __call__(
        self, images: Tensor, targets: Tensor, generator: torch.Generator, partner: Batch | None = None
    ) -> Batch:
        """Paste the partners' thumbnails."""
        other = partner_of(images, targets, generator, partner)
        inside, pasted = paste(other[0], pixels(self.size, images), self.prob, self.per, generator)
        lam = torch.where(inside.flatten(1).any(1), self.weight, 1.0)[:, None]
        return torch.where(inside, pasted, images), lam * targets + (1 - lam) * other[1]
