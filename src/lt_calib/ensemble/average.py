"""The average of several models' predictions, and how far they disagree."""

import math

import torch
from torch import Tensor, nn

from lt_calib.errors import InputError

KINDS = ("probabilities", "logits")


class Average(nn.Module):
    """Logits of the average: log mean_m p_m for ``"probabilities"``, mean_m log p_m for ``"logits"``.

    The softmax of the latter is the normalized geometric mean of the p_m.

    Args:
        kind: One of ``KINDS``.

    Shape:
        log p (B, M, K) float -> (B, K) float.

    Raises:
        InputError: another kind.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        if kind not in KINDS:
            raise InputError(f"--of {kind} must be one of {', '.join(KINDS)}")
        self.kind = kind

    def forward(self, log_p: Tensor) -> Tensor:
        """Average over the models."""
        if self.kind == "logits":
            return log_p.mean(dim=1)
        return torch.logsumexp(log_p, dim=1) - math.log(log_p.shape[1])


def disagreement(log_p: Tensor) -> Tensor:
    """Compute H(mean_m p_m) - mean_m H(p_m) in nats, H the entropy: 0 where all models predict the same.

    What one learns of the label by being told which of the models is right; at most log M and log K.

    Args:
        log_p: (B, M, K) float, logarithms of the probabilities of M models.

    Shape:
        Returns (B,).

    Reference:
        Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles", NeurIPS
        2017; Houlsby et al., "Bayesian Active Learning for Classification and Preference Learning", 2011, equation 2.
    """
    p = log_p.exp()
    together = p.mean(dim=1)
    entropies = torch.special.entr(p).sum(dim=2).mean(dim=1)
    return (torch.special.entr(together).sum(dim=1) - entropies).clamp(min=0)
