"""Expected calibration error (ECE) on equal-width bins."""

from typing import NamedTuple

import torch
from torch import Tensor

from lt_calib.measure.binning import on_ece_bins
from lt_calib.measure.check import check_probs
from lt_calib.measure.direction import better


class Bins(NamedTuple):
    """Sums over the pictures of each confidence bin, (n_bins,) float64 each."""

    count: Tensor
    confidence: Tensor
    correct: Tensor

    @property
    def gap(self) -> Tensor:
        """(n_bins,) float64, accuracy minus confidence of each bin; 0 where it is empty."""
        return (self.correct - self.confidence) / self.count.clamp(min=1)

    @property
    def share(self) -> Tensor:
        """(n_bins,) float64, n_b / N."""
        return self.count / self.count.sum()

    @property
    def error(self) -> Tensor:
        """() float64, sum_b (n_b / N) |acc_b - conf_b|."""
        return (self.share * self.gap.abs()).sum()


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
    confidence, correct = confidence_and_correct(probs, targets)
    return sums_by_index(bin_index(confidence, n_bins), confidence, correct, n_bins)


def confidence_and_correct(probs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return each picture's confidence max_c p_c, (N,) float32, and whether the prediction is right, (N,) bool.

    Raises:
        ValueError: logits, or NaN.
    """
    confidence, prediction = check_probs(probs, targets).float().max(dim=1)
    return confidence, prediction == targets


def sums_by_index(index: Tensor, confidence: Tensor, correct: Tensor, n_bins: int) -> Bins:
    """Sum count, confidence and correct predictions of each bin."""
    zero = torch.zeros(n_bins, dtype=torch.float64, device=index.device)
    return Bins(*(zero.index_add(0, index, x.double()) for x in (torch.ones_like(confidence), confidence, correct)))


def bin_index(confidence: Tensor, n_bins: int) -> Tensor:
    """Return the bin (lo, hi] of each confidence: float32 -> int64 of the same shape, 0 .. n_bins - 1.

    Raises:
        ValueError: n_bins < 1.
    """
    if n_bins < 1:
        raise ValueError(f"n_bins {n_bins} must be >= 1")
    edges = torch.arange(1, n_bins, dtype=torch.float32, device=confidence.device) / n_bins
    return torch.bucketize(confidence, edges)  # right=False: edges[i - 1] < confidence <= edges[i]


@better("lower")
@on_ece_bins
def expected_calibration_error(probs: Tensor, targets: Tensor, n_bins: int = 15) -> Tensor:
    """Compute ECE = sum_b (n_b / N) |acc_b - conf_b|.

    torchmetrics takes bins [lo, hi) and gives a confidence of exactly 1 a bin of its own; here bins are (lo, hi].

    Args:
        probs: (N, K) float, rows sum to 1; taken as float32. Logits are refused.
        targets: (N,) int64.
        n_bins: >= 1.

    Shape:
        Returns () float32, a fraction.

    Example:
        Four predictions of confidence 0.9, three of them right:

        >>> probs = torch.tensor([[0.9, 0.1]] * 4)
        >>> round(expected_calibration_error(probs, torch.tensor([0, 0, 0, 1])).item(), 3)
        0.15

    Raises:
        ValueError: logits, NaN, or n_bins < 1.

    Reference:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3.
    """
    return bin_sums(probs, targets, n_bins).error.float()
