"""Metrics of weighed images: what they would be under other class frequencies than the part's own.

With weights w_i = q_c / pi_c for an image of class c, pi its frequency in the part, a weighed mean is one over images
of the class frequencies q (importance weighting). Weights of 1 give the metrics of ``lt_calib.metric``.
"""

import torch
from torch import Tensor

from lt_calib.measure.check import check_labeled
from lt_calib.metric.acc_balanced import balanced_accuracy
from lt_calib.metric.brier import squared_errors
from lt_calib.metric.ece import bin_index, confidence_and_correct
from lt_calib.metric.nll import nll_of_each


def effective_size(weights: Tensor) -> float:
    """Compute (sum w)^2 / sum w^2: as many images of equal weight give a mean as precise (Kish 1965).

    Args:
        weights: (N,) float, >= 0, not all 0.
    """
    w = weights.double()
    return float(w.sum() ** 2 / w.square().sum())


def weighted_metrics(logits: Tensor, targets: Tensor, weights: Tensor, n_bins: int = 15) -> dict[str, float]:
    """Compute accuracy, balanced accuracy, ECE, NLL and Brier score of weighed images.

    Each is sum_i w_i m_i / sum_i w_i with m the image's own; ECE = sum_b |sum_(i in b) w_i (right_i - conf_i)| / sum w;
    the balanced accuracy, a mean over classes, has no weights.

    The other metrics have no weighted twin: the floor of the ECE and what stands beside it (debiased, MCE, RMSCE, ACE,
    class-wise) is of images that count alike.

    Args:
        logits: (N, K) float, or logarithms of probabilities.
        targets: (N,) int64.
        weights: (N,) float64, >= 0.
        n_bins: Of the ECE, (lo, hi] of equal width.

    Returns:
        ``{"acc", "acc_balanced", "ece", "nll", "brier"}``, fractions and nats.
    """
    check_labeled(logits, targets)
    share = weights.double() / weights.double().sum()
    probs = torch.softmax(logits.float(), dim=1)
    confidence, right = confidence_and_correct(probs, targets)
    gaps = torch.zeros(n_bins, dtype=torch.float64)
    gaps.index_add_(0, bin_index(confidence, n_bins), share * (right.double() - confidence.double()))
    return {
        "acc": float((share * right).sum()),
        "acc_balanced": float(balanced_accuracy(probs, targets)),
        "ece": float(gaps.abs().sum()),
        "nll": float((share * nll_of_each(logits, targets)).sum()),
        "brier": float((share * squared_errors(probs, targets)).sum()),
    }
