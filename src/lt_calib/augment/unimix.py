"""UniMix."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lt_calib.augment.draw import beta, partner_of, spread

Batch = tuple[Tensor, Tensor]


class UniMix:
    """Mixup whose partner comes from a sampler that favours the tail and whose lam favours the rarer class.

    For each pair lam = (Beta(alpha, alpha) + n_j / (n_i + n_j)) mod 1, with n_i pictures of the picture's own class and
    n_j of its partner's; the partner is drawn with weight n^tau for each picture, from the whole training set:
    class j with n_j^(1 + tau). The authors' code draws it from the batch, with the same weights, so that a class which
    the batch lacks is no partner.

    Args:
        class_counts: (K,) training pictures a class.
        alpha: Of the Beta distribution, > 0.

    Shape:
        images (B, 3, H, W) float, or features (B, D); targets (B, K) float; returns the same.

    Raises:
        ValueError: alpha is not > 0.

    Reference:
        Xu et al., "Towards Calibrated Model for Long-Tailed Visual Recognition from Prior Perspective", NeurIPS 2021.
    """

    of_features = True
    moves_labels = True  # lam favors the rarer class, whoever the partner is

    def __init__(self, class_counts: Sequence[int], *, alpha: float = 0.8) -> None:
        if alpha <= 0:
            raise ValueError(f"alpha {alpha} must be > 0")
        self.class_counts = torch.tensor(class_counts, dtype=torch.float32)
        self.alpha = alpha

    def __call__(
        self, images: Tensor, targets: Tensor, generator: torch.Generator, partner: Batch | None = None
    ) -> Batch:
        """Mix the batch."""
        other = partner_of(images, targets, generator, partner)
        counts = self.class_counts = self.class_counts.to(images.device)  # copied once
        n_i, n_j = targets @ counts, other[1] @ counts
        lam = (beta(self.alpha, (len(images),), generator) + n_j / (n_i + n_j)) % 1
        across, of_labels = spread(lam, images), lam[:, None]
        return across * images + (1 - across) * other[0], of_labels * targets + (1 - of_labels) * other[1]
