"""Class weights of weighted losses."""

import torch
from torch import Tensor, nn

from lt_calib.loss.base import ClassLoss, Counts, check_counts


def class_balanced_weights(class_counts: Counts, beta: float) -> Tensor:
    """Compute w_c = (1 - beta) / (1 - beta^n_c), rescaled to sum to K.

    The inverse of the effective number of pictures: all 1 at beta = 0, n_c^-1 (rescaled) as beta -> 1.

    Args:
        class_counts: (K,) training pictures a class, > 0.
        beta: In [0, 1).

    Shape:
        Returns (K,) float64.

    Raises:
        ValueError: beta is out of [0, 1).

    Reference:
        Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019, equation 2.
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta {beta} must be in [0, 1)")
    counts = check_counts(class_counts)
    weights = (1 - beta) / (1 - torch.tensor(beta, dtype=torch.float64).pow(counts))
    return weights * len(counts) / weights.sum()


def weighs(loss: nn.Module) -> bool:
    """Say whether a loss has, or will have, class weights that differ."""
    named = (buffer for name, buffer in loss.named_buffers() if name.split(".")[-1] in ("weights", "deferred"))
    return any(not torch.allclose(buffer, buffer[0]) for buffer in named)


def weighable(loss: nn.Module) -> ClassLoss:
    """Return a loss that class weights may be put on; refuse one that sets its weights itself."""
    if not isinstance(loss, ClassLoss):
        raise ValueError(f"{type(loss).__name__} sets its class weights itself, and none can be put on it again")
    return loss
