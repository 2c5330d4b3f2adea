"""Mixup."""

import torch
from torch import Tensor

from lt_calib.augment.draw import beta, check_per, number_of_draws, partner_of, spread

Batch = tuple[Tensor, Tensor]


class Mixup:
    """Mix each picture with its partner: x = lam x_a + (1 - lam) x_b, targets alike.

    lam ~ Beta(alpha, alpha), one a batch or one a picture.

    Args:
        alpha: Of the Beta distribution, >= 0; at 0 the batch is left as it is.
        prob: Probability of mixing, for each draw, in [0, 1].
        per: ``"batch"`` draws once a batch, as the authors do; ``"picture"`` for each picture.

    Shape:
        images (B, 3, H, W) float, or features (B, D); targets (B, K) float; returns the same.

    Raises:
        ValueError: a setting out of its range.

    Reference:
        Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, section 2.
    """

    of_features = True  # mixes rows of a table as well

    def __init__(self, alpha: float = 1.0, prob: float = 1.0, per: str = "batch") -> None:
        if alpha < 0 or not 0 <= prob <= 1:
            raise ValueError(f"alpha {alpha} must be >= 0 and prob {prob} in [0, 1]")
        self.alpha = alpha
        self.prob = prob
        self.per = check_per(per)

    def __call__(
        self, images: Tensor, targets: Tensor, generator: torch.Generator, partner: Batch | None = None
    ) -> Batch:
        """Mix the batch."""
        draws = number_of_draws(self.per, len(images))
        mixes = torch.rand(draws, device=images.device, generator=generator) < self.prob
        lam = torch.where(mixes, beta(self.alpha, (draws,), generator), 1.0)
        other = partner_of(images, targets, generator, partner)
        return torch.lerp(other[0], images, spread(lam, images)), torch.lerp(other[1], targets, lam[:, None])
