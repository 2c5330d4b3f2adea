"""CutMix."""

import torch
from torch import Tensor

from lt_calib.augment.draw import beta, check_per, cut_box, number_of_draws, partner_of

Batch = tuple[Tensor, Tensor]


class CutMix:
    """Paste a box of each picture's partner into it, and mix the labels by the pixels pasted.

    One box a batch, or one a picture: side sqrt(1 - lam) of the picture's, lam ~ Beta(alpha, alpha), centre uniform,
    clipped at the border; then lam = 1 - (pixels pasted) / (H W), and targets lam t_a + (1 - lam) t_b.

    Args:
        alpha: Of the Beta distribution, >= 0; at 0 the batch is left as it is.
        prob: Probability of mixing, for each draw, in [0, 1].
        per: ``"batch"`` draws once a batch, as the authors do; ``"picture"`` for each picture.

    Shape:
        images (B, 3, H, W) float, targets (B, K) float; returns the same. Where no ``partner`` batch is given, it is a
        permutation of the batch itself.

    Example:
        >>> images, targets = torch.rand(4, 3, 8, 8), torch.eye(4)
        >>> mixed, soft = CutMix()(images, targets, torch.Generator().manual_seed(0))
        >>> mixed.shape, soft.sum(dim=1).tolist()
        (torch.Size([4, 3, 8, 8]), [1.0, 1.0, 1.0, 1.0])

    Raises:
        ValueError: a setting out of its range.

    Reference:
        Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV 2019,
        equations 1 and 2.
    """

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
        mixed, own, patch = self.cut(images, targets, generator, partner)
        return mixed, own + patch

    def cut(
        self, images: Tensor, targets: Tensor, generator: torch.Generator, partner: Batch | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mix the images, and return the two parts of the targets (B, K): lam t_a and (1 - lam) t_b."""
        draws = number_of_draws(self.per, len(images))
        mixes = torch.rand(draws, device=images.device, generator=generator) < self.prob
        h, w = images.shape[2:]
        box = cut_box(h, w, beta(self.alpha, (draws,), generator), generator) & mixes[:, None, None]
        other = partner_of(images, targets, generator, partner)
        lam = 1 - box.float().mean(dim=(1, 2))[:, None]
        return torch.where(box[:, None], other[0], images), lam * targets, (1 - lam) * other[1]
