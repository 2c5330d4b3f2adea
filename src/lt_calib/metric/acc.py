"""Accuracy."""

from torch import Tensor

from lt_calib.measure.check import check_labeled
from lt_calib.measure.direction import better


@better("higher")
def accuracy(probs: Tensor, targets: Tensor) -> Tensor:
    """Compute the fraction of pictures whose most probable class is the label (top-1).

    Args:
        probs: (N, K) float, probabilities or logits.
        targets: (N,) int64.

    Shape:
        Returns () float32, a fraction.

    Example:
        >>> accuracy(torch.tensor([[0.7, 0.3], [0.6, 0.4]]), torch.tensor([0, 1])).item()
        0.5
    """
    check_labeled(probs, targets)
    return (probs.argmax(dim=1) == targets).float().mean()
