"""One threshold for softmax over prior."""

import torch
from torch import Tensor

from lt_calib.conformal.base import SetRule, check_alpha, own_scores, quantile


def prior_adjusted(logits: Tensor, targets: Tensor, alpha: float, prior: Tensor | None = None) -> SetRule:
    """Fit sets {y: softmax(z)_y / r_y >= t}, r the class frequencies that softmax(z) is for.

    The ratio is, but for a factor of the image, how likely the image is in class y: were softmax(z) the posterior,
    these sets would have the highest coverage averaged over classes of all of one mean size. They cover all images
    together with probability >= 1 - alpha, as :func:`marginal` does. Under a uniform r, which Balanced Softmax and
    AWABS are for, the two are the same.

    Args:
        logits: (N, K) float, of images that neither trained the network nor fitted anything.
        targets: (N,) int64.
        alpha: Between 0 and 1.
        prior: r (K,), > 0; None is uniform.

    Reference:
        Ding et al., "Conformal Prediction for Long-Tailed Classification", arXiv 2507.06867.
    """
    k = logits.shape[1]
    r = torch.full((k,), 1 / k, dtype=torch.float64) if prior is None else prior.double()
    threshold = quantile(own_scores(logits, targets, r), check_alpha(alpha))
    return SetRule(torch.full((k,), threshold, dtype=torch.float64), r)
