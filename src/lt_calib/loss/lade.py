"""LADE: label distribution disentangling."""

import math

import torch
from torch import Tensor

from lt_calib.loss.balanced_softmax import BalancedSoftmax
from lt_calib.loss.base import Counts, labels_of


class LADE(BalancedSoftmax):
    """Balanced Softmax + alpha R, R = -sum_c pi_c (A_c - B_c - lambda B_c^2), as in the authors' code.

    A_c = sum_i t_ic z_ic / sum_i t_ic, 0 for a class that is not in the batch;
    B_c = logsumexp_i (z_ic - log pi_c + log 1/K) - log(batch size).

    The authors' classifier begins as torch's Linear, :class:`lt_calib.model.classifier.Linear` Kaiming-normal.

    R compares pictures of a batch with one another: this loss, alone of all, is not linear in the target.

    Args:
        class_counts: (K,) training pictures a class, > 0.
        alpha: >= 0; 0 is Balanced Softmax.
        lam: lambda >= 0.
        prior: pi (K,); None means n / N.

    Shape:
        logits (B, K) float, targets (B,) int64 or (B, K) float; returns () float32.

    Raises:
        ValueError: alpha or lam is below 0.

    Reference:
        Hong et al., "Disentangling Label Distribution for Long-Tailed Visual Recognition", CVPR 2021.
    """

    linear_in_target = False
    alpha: Tensor
    lam: Tensor

    def __init__(
        self, class_counts: Counts, *, alpha: float = 0.1, lam: float = 0.01, prior: Counts | None = None
    ) -> None:
        if alpha < 0 or lam < 0:
            raise ValueError(f"alpha {alpha} and lam {lam} must be >= 0")
        super().__init__(class_counts, prior=prior)
        self.register_buffer("alpha", torch.tensor(alpha))
        self.register_buffer("lam", torch.tensor(lam))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the batch's mean and its regulariser."""
        z = logits.float()
        b, k = z.shape
        t = labels_of(targets, k)
        count = t.sum(0)
        a = (t * z).sum(0) / count.clamp(min=1e-8)  # (K,)
        b_c = torch.logsumexp(z - self.log_prior - math.log(k), dim=0) - math.log(b)  # (K,)
        r = -(self.log_prior.exp() * (a - b_c - self.lam * b_c.square())).sum()
        return super().forward(logits, targets) + self.alpha * r
