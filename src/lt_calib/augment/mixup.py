"""Mixup."""

import torch
from torch import Tensor

from lt_calib.augment.draw import beta, partner_of

Batch = tuple[Tensor, Tensor]


class Mixup:
    """Mix each picture with its partner: x = lam x_a + (1 - lam) x_b, targets alike.

    One lam ~ Beta(alpha, alpha) a batch.

    Args:
        alpha: Of the Beta distribution, >= 0; at 0 the batch is left as it is.
        prob: Probability of mixing, for each batch, in [0, 1].

    Shape:
        images (B, 3, H, W) float, targets (B, K) float; returns the same.

    Reference:
        Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, section 2.
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
        lam = torch.where(mixes, beta(self.alpha, (), generator), 1.0)
        other = partner_of(images, targets, generator, partner)
        return torch.lerp(other[0], images, lam), torch.lerp(other[1], targets, lam)
