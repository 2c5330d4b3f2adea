"""Remix."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lt_calib.augment.draw import beta, check_per, number_of_draws, partner_of, spread

Batch = tuple[Tensor, Tensor]


class Remix:
    """Mixup of the pictures, with the label of each pair given to the rarer class where that is clear.

    With n_i pictures of the picture's own class and n_j of its partner's, the own label's weight is 0 if
    n_i / n_j >= kappa and lam < tau, 1 if n_i / n_j <= 1 / kappa and 1 - lam < tau, else lam; for each pair.

    Args:
        class_counts: (K,) training pictures a class.
        alpha: Of the Beta distribution, >= 0; at 0 the batch is left as it is.
        kappa: >= 1.
        tau: In [0, 1]; at 0 this is mixup.
        per: ``"batch"`` draws once a batch, as the authors do; ``"picture"`` for each picture.

    Shape:
        images (B, 3, H, W) float, or features (B, D); targets (B, K) float; returns the same.

    Raises:
        ValueError: a setting out of its range.

    Reference:
        Chou et al., "Remix: Rebalanced Mixup", ECCV 2020 workshops.
    """

    of_features = True
    moves_labels = True  # to the rarer class, away from the frequencies that the sampler draws

    def __init__(
        self,
        class_counts: Sequence[int],
        *,
        alpha: float = 1.0,
        kappa: float = 3.0,
        tau: float = 0.5,
        per: str = "batch",
    ) -> None:
        if alpha < 0 or kappa < 1 or not 0 <= tau <= 1:
            raise ValueError(f"alpha {alpha} must be >= 0, kappa {kappa} >= 1 and tau {tau} in [0, 1]")
        self.class_counts = torch.tensor(class_counts, dtype=torch.float32)
        self.alpha = alpha
        self.kappa = kappa
        self.tau = tau
        self.per = check_per(per)

    def __call__(
        self, images: Tensor, targets: Tensor, generator: torch.Generator, partner: Batch | None = None
    ) -> Batch:
        """Mix the batch."""
        lam = beta(self.alpha, (number_of_draws(self.per, len(images)),), generator)
        other = partner_of(images, targets, generator, partner)
        counts = self.class_counts = self.class_counts.to(images.device)  # copied once
        ratio = (targets @ counts) / (other[1] @ counts)  # (B,), n_i / n_j
        own = lam.expand(len(images))
        own = torch.where((ratio >= self.kappa) & (lam < self.tau), 0.0, own)
        own = torch.where((ratio <= 1 / self.kappa) & (1 - lam < self.tau), 1.0, own)[:, None]
        return torch.lerp(other[0], images, spread(lam, images)), own * targets + (1 - own) * other[1]
