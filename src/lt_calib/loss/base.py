"""What every loss has: class weights, the mean over a batch, and the class frequencies that it corrects for."""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Counts = Sequence[int] | Sequence[float] | Tensor


class Loss(Protocol):
    """Any loss: logits (B, K) float, targets (B,) int64 or (B, K) float -> () float32.

    Only CMO with ``two_means`` gives targets in parts (B, P, K), which a :class:`ClassLoss` takes.
    """

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


def labels_of(targets: Tensor, num_classes: int) -> Tensor:
    """Return the labels (B, K) float32 of targets in any of their forms."""
    if targets.ndim == 1:
        return F.one_hot(targets, num_classes).float()
    return targets.float() if targets.ndim == 2 else targets.float().sum(dim=1)


class ClassLoss(nn.Module):
    """A loss that is linear in the target: sum_ic t_ic w_c l(z_i, c) / sum_ic t_ic w_c.

    A subclass defines :meth:`losses`. All that its settings decide lies in buffers, so that a stack of such losses can
    be evaluated at once. With ``normalizer="batch"`` in :meth:`weigh` the denominator is the batch size, sum_ic t_ic.

    Labels that come in P parts t_ipc, sum_pc t_ipc = 1, have a mean for each part, over its own weights:
    sum_p s_p (sum_ic t_ipc w_c l(z_i, c) / sum_ic t_ipc w_c) with s_p = sum_ic t_ipc / B. Without weights, or divided
    by the batch size, that is the loss of their sum.

    Args:
        num_classes: K.

    Attributes:
        weights: (K,) float32, w_c; 1 unless the loss is a weighted one.

    Shape:
        logits (B, K) float, targets (B,) int64, (B, K) float or in parts (B, P, K) float; returns () float32.
    """

    weights: Tensor
    by_weights: Tensor
    corrects = False  # whether it corrects for the classes' frequencies, so that nothing else may do so again

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.ones(num_classes))
        # A setting alone, which no file need keep: a stage that was killed before there was one goes on.
        self.register_buffer("by_weights", torch.ones(()), persistent=False)

    def weigh(self, weights: Tensor, normalizer: str = "weights") -> None:
        """Set w_c (K,), and whether the sum is divided by the weights of the batch, or by its size, as Cui et al. do.

        Raises:
            ValueError: normalizer is neither ``"weights"`` nor ``"batch"``.
        """
        if normalizer not in ("weights", "batch"):
            raise ValueError(f"normalizer {normalizer!r} must be 'weights' (of the batch) or 'batch' (its size)")
        self.weights.copy_(weights)
        self.by_weights.fill_(normalizer == "weights")

    def losses(self, logits: Tensor) -> Tensor:
        """Compute l(z_i, c), (B, K) float32, from logits (B, K) float32."""
        raise NotImplementedError

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the batch's weighted mean."""
        each = self.losses(logits.float())
        divisor = torch.where(self.by_weights > 0, self.weights, 1.0)
        if targets.ndim == 1:
            own = each.gather(1, targets[:, None])[:, 0]
            return (self.weights[targets] * own).sum() / divisor[targets].sum()
        if targets.ndim == 2:
            return (targets.float() * self.weights * each).sum() / (targets.float() * divisor).sum()
        t = targets.float()
        sums = (t * self.weights * each[:, None]).sum(dim=(0, 2))  # (P,)
        divisors = (t * divisor).sum(dim=(0, 2)).clamp(min=torch.finfo(torch.float32).tiny)  # a part may be empty
        return (t.sum(dim=(0, 2)) / len(t) * sums / divisors).sum()
