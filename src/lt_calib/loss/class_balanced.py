"""Class-balanced weights on another loss."""

from collections.abc import Callable

from torch import Tensor, nn

from lt_calib.loss.base import ClassLoss, Counts
from lt_calib.loss.weights import class_balanced_weights, weighable


class ClassBalanced(nn.Module):
    """A loss with the class-balanced weights w_c = (1 - beta) / (1 - beta^n_c), rescaled to sum to K.

    Args:
        class_counts: (K,) training pictures a class, > 0.
        loss: ``(class_counts, *, prior) -> ClassLoss``, the loss to weigh: cross-entropy, focal, ...
        beta: In [0, 1); 0 leaves the loss unweighted.
        prior: Given on to ``loss``.

    Shape:
        logits (B, K) float, targets (B,) int64 or (B, K) float; returns () float32.

    Reference:
        Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019, equation 4.
    """

    corrects = True

    def __init__(
        self,
        class_counts: Counts,
        *,
        loss: Callable[..., ClassLoss],
        beta: float = 0.9999,
        prior: Counts | None = None,
    ) -> None:
        super().__init__()
        self.loss = weighable(loss(class_counts, prior=prior))
        self.loss.weights.copy_(class_balanced_weights(class_counts, beta))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the batch's weighted mean."""
        return self.loss(logits, targets)
