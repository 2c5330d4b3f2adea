"""Debiased expected calibration error."""

import math

import torch
from torch import Tensor

from lt_calib.measure.binning import on_ece_bins
from lt_calib.measure.direction import better
from lt_calib.metric.ece import bin_sums


@better("lower")
@on_ece_bins
def debiased_calibration_error(probs: Tensor, targets: Tensor, n_bins: int = 15) -> Tensor:
    """Subtract from the ECE what chance adds to it, as far as the gaps themselves tell.

    A bin's gap g_b = acc_b - conf_b is taken as normal with variance s_b^2 = acc_b (1 - acc_b) / n_b. What chance adds
    to |g_b| is estimated by what it would add to the gap that was seen:
    ECE - sum_b (n_b / N) (E|Normal(g_b, s_b^2)| - |g_b|), not below 0.

    Far from calibration this is the ECE; near it, part of the bias is left, since the gap that was seen is itself too
    large. So read it beside the floor (:mod:`lt_calib.metric.ece_floor`).

    Args:
        probs: (N, K) float, rows sum to 1; taken as float32. Logits are refused.
        targets: (N,) int64.
        n_bins: >= 1, equal widths.

    Shape:
        Returns () float32, a fraction.

    Reference:
        Kumar et al., "Verified Uncertainty Calibration", NeurIPS 2019, section 5 (there in the l2 norm).
    """
    bins = bin_sums(probs, targets, n_bins)
    accuracy = bins.correct / bins.count.clamp(min=1)
    sd = (accuracy * (1 - accuracy) / bins.count.clamp(min=1)).sqrt()
    gap = bins.gap.abs()
    z = gap / sd.clamp(min=1e-300)
    folded = sd * math.sqrt(2 / math.pi) * torch.exp(-z.square() / 2) + gap * torch.erf(z / math.sqrt(2))
    return (bins.share * (2 * gap - folded)).sum().clamp(min=0).float()
