"""Weighted cross-entropy."""

from lt_calib.loss.base import Counts, check_counts
from lt_calib.loss.cross_entropy import CrossEntropy


class WeightedCrossEntropy(CrossEntropy):
    """Cross-entropy with w_c = (n_min / n_c)^gamma, as a weighted mean.

    With two classes this is -alpha y log p - (1 - y) log(1 - p), alpha = (n_min / n_max)^gamma or its inverse, up to
    the mean's denominator.

    Args:
        class_counts: (K,) training pictures a class, > 0.
        gamma: >= 0; 0 is cross-entropy, 1 gives every class the same total weight.
        normalizer: What the weighted sum is divided by: ``"weights"``, those of the batch, or ``"batch"``, its size.
        prior: Ignored.

    Shape:
        logits (B, K) float, targets (B,) int64 or (B, K) float; returns () float32.

    Raises:
        ValueError: gamma is below 0, or normalizer is neither.
    """

    corrects = True

    def __init__(
        self, class_counts: Counts, *, gamma: float = 1.0, normalizer: str = "weights", prior: Counts | None = None
    ) -> None:
        if gamma < 0:
            raise ValueError(f"gamma {gamma} must be >= 0")
        super().__init__(class_counts)
        counts = check_counts(class_counts)
        self.weigh((counts.min() / counts).pow(gamma), normalizer)
