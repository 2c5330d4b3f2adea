"""Signed over-confidence."""

from torch import Tensor

from lt_calib.metric.ece import confidence_and_correct


def over_confidence(probs: Tensor, targets: Tensor) -> Tensor:
    """Compute mean confidence minus accuracy: above 0 where the model is surer than it is right.

    Args:
        probs: (N, K) float, rows sum to 1. Logits are refused.
        targets: (N,) int64.

    Shape:
        Returns () float32, a fraction in [-1, 1]; its absolute value is never above the ECE.
    """
    confidence, correct = confidence_and_correct(probs, targets)
    return (confidence.double() - correct.double()).mean().float()
