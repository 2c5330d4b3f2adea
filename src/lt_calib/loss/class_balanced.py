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
        normalizer: What the weighted sum is divided by: ``"weights"``, those of the batch, as torch's weighted
            cross-entropy does; or ``"batch"``, its size, as the authors' code does. On instance-balanced
            batches the former's gradients are larger: 1.6 to 9.5 times at the imbalance factors 10 to 200 of CIFAR-10.
        prior: Given on to ``loss``.

    Shape:
        logits (B, K) float, targets (B,) int64 or (B, K) float; returns () float32.

    Raises:
        ValueError: beta or normalizer is out of its range, or the loss sets its class weights itself.

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
        normalizer: str = "weights",
        prior: Counts | None = None,
    ) -> None:
        super().__init__()
        self.loss = weighable(loss(class_counts, prior=prior))
        self.loss.weigh(class_balanced_weights(class_counts, beta), normalizer)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the batch's weighted mean."""
        return self.loss(logits, targets)
