"""Thresholds between one for all classes and one for each."""

from torch import Tensor

from lt_calib.conformal.base import SetRule
from lt_calib.conformal.class_wise import class_wise
from lt_calib.conformal.marginal import marginal


def interpolated(
    logits: Tensor, targets: Tensor, alpha: float, prior: Tensor | None = None, weight: float = 0.5
) -> SetRule:
    """Fit sets by q_y = weight q_y^class_wise + (1 - weight) q^marginal: smaller than class-wise, fairer than marginal.

    No threshold is below both, so that a set lacks only what one of the two lacks: the true class is missed with
    probability <= 2 alpha, over all images together; mostly it is about alpha.

    Args:
        logits: (N, K) float, of images that neither trained the network nor fitted anything.
        targets: (N,) int64.
        alpha: Between 0 and 1.
        prior: Not looked at.
        weight: From 0, :func:`marginal`, to 1, :func:`class_wise`.

    Raises:
        ValueError: weight is out of its range.

    Reference:
        Ding et al., "Conformal Prediction for Long-Tailed Classification", arXiv 2507.06867.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight {weight} must be 0 (one threshold for all classes) to 1 (one for each)")
    one, each = marginal(logits, targets, alpha), class_wise(logits, targets, alpha)
    if weight in (0, 1):  # an infinite threshold times 0 is no number
        return each if weight else one
    return SetRule(weight * each.thresholds + (1 - weight) * one.thresholds, one.prior, each.fell_back)
