"""One threshold for all classes."""

import torch
from torch import Tensor

from lt_calib.conformal.base import SetRule, check_alpha, own_scores, quantile


def marginal(logits: Tensor, targets: Tensor, alpha: float, prior: Tensor | None = None) -> SetRule:
    """Fit sets {y: softmax(z)_y >= t} that have the true class with probability >= 1 - alpha, over all images together.

    -t is the ceil((n + 1) (1 - alpha))-th smallest -softmax(z)_y of the n held-out images. Single classes may be
    covered far more or less often than that.

    Args:
        logits: (N, K) float, of images that neither trained the network nor fitted anything.
        targets: (N,) int64.
        alpha: Between 0 and 1.
        prior: Not looked at.

    Reference:
        Sadinle et al., "Least Ambiguous Set-Valued Classifiers with Bounded Error Levels", JASA 2019.
    """
    threshold = quantile(own_scores(logits, targets), check_alpha(alpha))
    ones = torch.ones(logits.shape[1], dtype=torch.float64)
    return SetRule(threshold * ones, ones)
