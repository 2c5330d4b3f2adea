"""Cross-entropy."""

import torch

from lt_calib.loss.base import Counts, check_counts
from lt_calib.loss.smoothing import SmoothedCrossEntropy


class CrossEntropy(SmoothedCrossEntropy):
    """Softmax cross-entropy, l(z, y) = -log softmax(z)_y.

    Args:
        class_counts: (K,) training pictures a class; only K is used.
        prior: Ignored: cross-entropy corrects for no prior.

    Shape:
        logits (B, K) float, targets (B,) int64 or (B, K) float; returns () float32.
    """

    def __init__(self, class_counts: Counts, *, prior: Counts | None = None) -> None:
        zero = torch.zeros_like(check_counts(class_counts))
        super().__init__(d=zero + 1, r=zero, v=zero, log_prior=zero)
