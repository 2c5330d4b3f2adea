"""What every loss has: class weights, the mean over a batch, and the class frequencies that it corrects for."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

Counts = Sequence[int] | Sequence[float] | Tensor


class Loss(Protocol):
    """Any loss: logits (B, K) float, targets (B,) int64 or (B, K) float -> () float32."""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the batch's loss."""
        ...


def check_counts(class_counts: Counts) -> Tensor:
    """Return the class counts as float64, refusing an empty class: its log frequency would be minus infinity."""
    counts = torch.as_tensor(class_counts, dtype=torch.float64)
    if counts.ndim != 1 or len(counts) == 0 or not bool((counts > 0).all()) or not bool(counts.isfinite().all()):
        raise ValueError(f"class_counts {counts.tolist()} must be one finite number > 0 for each class")
    return counts


def frequencies(class_counts: Counts, prior: Counts | None) -> Tensor:
    """Return pi (K,) float64: ``prior`` scaled to sum to 1, or n / N where it is None."""
    counts = check_counts(class_counts)
    if prior is None:
        return counts / counts.sum()
    pi = torch.as_tensor(prior, dtype=torch.float64)
    if pi.shape != counts.shape or not bool((pi > 0).all()) or not bool(pi.isfinite().all()):
        raise ValueError(f"prior {pi.tolist()} must be one finite number > 0 for each of the {len(counts)} classes")
    return pi / pi.sum()


class ClassLoss(nn.Module):
    """A loss that is linear in the target: sum_ic t_ic w_c l(z_i, c) / sum_ic t_ic w_c.

    A subclass defines :meth:`losses`. All that its settings decide lies in buffers, so that a stack of such losses can
    be evaluated at once.

    Args:
        num_classes: K.

    Attributes:
        weights: (K,) float32, w_c; 1 unless the loss is a weighted one.

    Shape:
        logits (B, K) float, targets (B,) int64 or (B, K) float; returns () float32.
    """

    weights: Tensor
    corrects = False  # whether it corrects for the classes' frequencies, so that nothing else may do so again

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.ones(num_classes))

    def losses(self, logits: Tensor) -> Tensor:
        """Compute l(z_i, c), (B, K) float32, from logits (B, K) float32."""
        raise NotImplementedError

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the batch's weighted mean."""
        each = self.losses(logits.float())
        if targets.ndim == 1:
            w = self.weights[targets]
            return (w * each.gather(1, targets[:, None])[:, 0]).sum() / w.sum()
        w = targets.float() * self.weights
        return (w * each).sum() / w.sum()
