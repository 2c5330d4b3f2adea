"""Expected calibration error (ECE) on equal-width bins."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from lt_calib.metric.check import check_probs


class Bins(NamedTuple):
    """Sums over the pictures of each confidence bin, (n_bins,) float64 each."""

    count: Tensor
    confidence: Tensor
    correct: Tensor

    @property
    def gap(self) -> Tensor:
        """(n_bins,) float64, accuracy minus confidence of each bin; 0 where it is empty."""
        return (self.correct - self.confidence) / self.count.clamp(min=1)


def bin_sums(probs: Tensor, targets: Tensor, n_bins: int = 15) -> Bins:
    """Sort the pictures by confidence, max_c p_c, into n_bins bins (lo, hi] of equal width.

    The edges are arange(1, n_bins) / n_bins in float32; a confidence of 0 falls into the first bin, 1 into the last.

    Args:
        probs: (N, K) float, rows sum to 1; taken as float32.
        targets: (N,) int64.
        n_bins: >= 1.

    Raises:
        ValueError: logits, NaN, or n_bins < 1.
    """
    if n_bins < 1:
        raise ValueError(f"n_bins {n_bins} must be >= 1")
    probs = probs.float()
    check_probs(probs, targets)
    confidence, prediction = probs.max(dim=1)
    index = bin_index(confidence, n_bins)
    correct = prediction == targets
    zero = torch.zeros(n_bins, dtype=torch.float64, device=probs.device)
    return Bins(*(zero.index_add(0, index, x.double()) for x in (torch.ones_like(confidence), confidence, correct)))


def bin_index(confidence: Tensor, n_bins: int) -> Tensor:
    """Return the bin (lo, hi] of each confidence: (N,) float32 -> (N,) int64, 0 .. n_bins - 1."""
    edges = torch.arange(1, n_bins, dtype=torch.float32, device=confidence.device) / n_bins
    return torch.bucketize(confidence, edges)  # right=False: edges[i - 1] < confidence <= edges[i]


def expected_calibration_error(probs: Tensor, targets: Tensor, n_bins: int = 15) -> Tensor:
    """Compute ECE = sum_b (n_b / N) |acc_b - conf_b|.

    torchmetrics takes bins [lo, hi) and gives a confidence of exactly 1 a bin of its own; here bins are (lo, hi].

    Args:
        probs: (N, K) float, rows sum to 1; taken as float32. Logits are refused.
        targets: (N,) int64.
        n_bins: >= 1.

    Shape:
        Returns () float32, a fraction.

    Raises:
        ValueError: logits, NaN, or n_bins < 1.

    Reference:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3.
    """
    bins = bin_sums(probs, targets, n_bins)
    return ((bins.count / bins.count.sum()) * bins.gap.abs()).sum().float()


class ExpectedCalibrationError(Metric):
    """:func:`expected_calibration_error` of all batches together, over all processes.

    Args:
        n_bins: >= 1.
    """

    full_state_update = False
    higher_is_better = False
    is_differentiable = False
    count: Tensor
    confidence: Tensor
    correct: Tensor

    def __init__(self, n_bins: int = 15, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n_bins = n_bins
        for name in Bins._fields:
            self.add_state(name, torch.zeros(n_bins, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, probs: Tensor, targets: Tensor) -> None:
        """Add a batch: probs (B, K) float, targets (B,) int64."""
        bins = bin_sums(probs, targets, self.n_bins)
        for name in Bins._fields:
            setattr(self, name, getattr(self, name) + getattr(bins, name))

    def compute(self) -> Tensor:
        """Return the ECE, () float32, a fraction."""
        bins = Bins(self.count, self.confidence, self.correct)
        return ((bins.count / bins.count.sum()) * bins.gap.abs()).sum().float()
