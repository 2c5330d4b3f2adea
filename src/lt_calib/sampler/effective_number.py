"""Effective-number sampling."""

import torch
from torch import Tensor

from lt_calib.sampler.class_weighted import ClassWeighted


class EffectiveNumber(ClassWeighted):
    """Each picture with weight (1 - beta) / (1 - beta^n_c), so a class with n_c times that; N draws with replacement.

    Args:
        targets: (N,) int64 labels of the training pictures.
        num_classes: K.
        seed: The job's seed, >= 0.
        stage: 1 or 2.
        purpose: What is drawn; another purpose draws independently.
        beta: In [0, 1); 0 draws every picture alike, near 1 every class.

    Raises:
        ValueError: beta is out of [0, 1).

    Reference:
        Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019, equation 2.
    """

    def __init__(
        self,
        targets: Tensor,
        *,
        num_classes: int,
        seed: int,
        stage: int = 1,
        purpose: str = "sampler",
        beta: float = 0.9999,
    ) -> None:
        if not 0 <= beta < 1:
            raise ValueError(f"beta {beta} must be in [0, 1)")
        super().__init__(targets, num_classes=num_classes, seed=seed, stage=stage, purpose=purpose)
        self.beta = beta

    def class_weights(self, counts: Tensor) -> Tensor:
        """Compute f = n (1 - beta) / (1 - beta^n)."""
        return counts * (1 - self.beta) / (1 - torch.tensor(self.beta, dtype=torch.float64).pow(counts))
