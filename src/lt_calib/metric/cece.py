"""Class-wise expected calibration error."""

from typing import NamedTuple

import torch
from torch import Tensor

from lt_calib.measure.check import check_probs
from lt_calib.measure.direction import better
from lt_calib.measure.pieces import pieces
from lt_calib.metric.ece import bin_index


class ClassBins(NamedTuple):
    """Sums over the pictures whose probability of a class falls into a bin, (K, n_bins) float64 each."""

    count: Tensor
    probability: Tensor
    label: Tensor

    @property
    def mean_probability(self) -> Tensor:
        """(K, n_bins) float64; 0 where the bin is empty."""
        return self.probability / self.count.clamp(min=1)

    @property
    def frequency(self) -> Tensor:
        """(K, n_bins) float64, how often the class is the label; 0 where the bin is empty."""
        return self.label / self.count.clamp(min=1)


def class_bin_sums(probs: Tensor, targets: Tensor, n_bins: int = 15) -> ClassBins:
    """Sort every class's probabilities into n_bins bins (lo, hi] of equal width.

    Raises:
        ValueError: n_bins is below 1.
    """
    if n_bins < 1:
        raise ValueError(f"n_bins {n_bins} must be >= 1")
    probs = check_probs(probs, targets).float()
    k = probs.shape[1]
    first = n_bins * torch.arange(k, device=probs.device)
    sums = torch.zeros(3, k * n_bins, dtype=torch.float64, device=probs.device)
    for rows in pieces(probs):
        part = probs[rows]
        index = (bin_index(part, n_bins) + first).flatten()
        label = torch.zeros_like(part).scatter_(1, targets[rows, None], 1.0)
        for total, x in zip(sums, (torch.ones_like(part), part, label), strict=True):
            total.index_add_(0, index, x.flatten().double())
    return ClassBins(*sums.reshape(3, k, n_bins))


@better("lower")
def classwise_calibration_error(probs: Tensor, targets: Tensor, n_bins: int = 15) -> Tensor:
    """Compute (1 / K) sum_k sum_b (n_kb / N) |freq_kb - mean p_kb|: how well every class's probability is calibrated.

    Args:
        probs: (N, K) float, rows sum to 1; taken as float32. Logits are refused.
        targets: (N,) int64.
        n_bins: >= 1, equal widths.

    Shape:
        Returns () float32, a fraction. With many classes most probabilities are near 0, and so is this.

    Reference:
        Kull et al., "Beyond Temperature Scaling", NeurIPS 2019, equation 2.
    """
    bins = class_bin_sums(probs, targets, n_bins)
    gap = (bins.frequency - bins.mean_probability).abs()
    return ((bins.count / len(targets)) * gap).sum(dim=1).mean().float()
