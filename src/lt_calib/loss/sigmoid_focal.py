"""Focal loss on K sigmoids, one against all."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_calib.loss.base import ClassLoss, Counts, check_counts
from lt_calib.loss.focal import modulate


class SigmoidFocal(ClassLoss):
    """One-against-all focal loss, summed over the classes.

    l(z, y) = -(1 - s_y)^gamma log s_y - sum_{k != y} s_k^gamma log(1 - s_k) with s = sigmoid(z).

    The prediction that is tested is softmax(z), as for every method. From a classifier whose biases are 0 it starts
    with K - 1 wrong sigmoids; in Cui et al.'s code the biases begin at -log(K - 1) and do not decay, as those of
    :class:`lt_calib.model.one_against_all.OneAgainstAll`.

    Args:
        class_counts: (K,) training pictures a class; only K is used.
        gamma: >= 0; 0 is one-against-all cross-entropy.
        prior: Ignored.

    Shape:
        logits (B, K) float, targets (B,) int64 or (B, K) float; returns () float32.

    Raises:
        ValueError: gamma is below 0.

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equation 4.
    """

    gamma: Tensor

    def __init__(self, class_counts: Counts, *, gamma: float = 2.0, prior: Counts | None = None) -> None:
        if gamma < 0:
            raise ValueError(f"gamma {gamma} must be >= 0")
        super().__init__(len(check_counts(class_counts)))
        self.register_buffer("gamma", torch.tensor(gamma))

    def losses(self, logits: Tensor) -> Tensor:
        """Compute l(z_i, c), (B, K) float32."""
        own = -modulate(torch.sigmoid(-logits), self.gamma) * F.logsigmoid(logits)
        other = -modulate(torch.sigmoid(logits), self.gamma) * F.logsigmoid(-logits)
        return own - other + other.sum(dim=1, keepdim=True)
