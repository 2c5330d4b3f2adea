"""Focal loss on the softmax."""

import torch
from torch import Tensor

from lt_calib.loss.base import ClassLoss, Counts, check_counts


class Focal(ClassLoss):
    """Focal loss, l(z, y) = -(1 - p_y)^gamma log p_y with p = softmax(z).

    Args:
        class_counts: (K,) training pictures a class; only K is used.
        gamma: >= 0; 0 is cross-entropy.
        prior: Ignored.

    Shape:
        logits (B, K) float, targets (B,) int64 or (B, K) float; returns () float32.

    Raises:
        ValueError: gamma is below 0.

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equation 4, on the softmax.
    """

    gamma: Tensor

    def __init__(self, class_counts: Counts, *, gamma: float = 2.0, prior: Counts | None = None) -> None:
        if gamma < 0:
            raise ValueError(f"gamma {gamma} must be >= 0")
        super().__init__(len(check_counts(class_counts)))
        self.register_buffer("gamma", torch.tensor(gamma))

    def losses(self, logits: Tensor) -> Tensor:
        """Compute l(z_i, c), (B, K) float32."""
        log_p = torch.log_softmax(logits, dim=1)
        rest = -torch.expm1(log_p)  # 1 - p without cancellation
        return -modulate(rest, self.gamma) * log_p


def modulate(x: Tensor, gamma: Tensor) -> Tensor:
    """Compute x^gamma for x >= 0 with a finite gradient at 0, also for gamma < 1."""
    return x.clamp(min=1e-12).pow(gamma)
