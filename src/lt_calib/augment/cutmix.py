"""CutMix."""

import torch
from torch import Tensor

from lt_calib.augment.draw import beta, cut_box, partner_of

Batch = tuple[Tensor, Tensor]


class CutMix:
    """Paste a box of each picture's partner into it, and mix the labels by the pixels pasted.

    One box a batch: side sqrt(1 - lam) of the picture's, lam ~ Beta(alpha, alpha), centre uniform, clipped at the
    border; then lam = 1 - (pixels pasted) / (H W), and targets lam t_a + (1 - lam) t_b.

    Args:
        alpha: Of the Beta distribution, >= 0; at 0 the batch is left as it is.
        prob: Probability of mixing, for each batch, in [0, 1].

    Shape:
        images (B, 3, H, W) float, targets (B, K) float; returns the same. Where no ``partner`` batch is given, it is a
        permutation of the batch itself.

    Reference:
        Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV 2019,
        equations 1 and 2.
    """

    def __init__(self, alpha: float = 1.0, prob: float = 1.0) -> None:
        if alpha < 0 or not 0 <= prob <= 1:
            raise ValueError(f"alpha {alpha} must be >= 0 and prob {prob} in [0, 1]")
        self.alpha = alpha
        self.prob = prob

    def __call__(
        self, images: Tensor, targets: Tensor, generator: torch.Generator, partner: Batch | None = None
    ) -> Batch:
        """Mix the batch."""
        mixes = torch.rand((), device=images.device, generator=generator) < self.prob
        h, w = images.shape[2:]
        box = cut_box(h, w, beta(self.alpha, (), generator), generator) & mixes
        other = partner_of(images, targets, generator, partner)
        lam = 1 - box.float().mean()
        return torch.where(box, other[0], images), lam * targets + (1 - lam) * other[1]
