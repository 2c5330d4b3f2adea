"""The Brier score's reliability and resolution."""

from typing import NamedTuple

import torch
from torch import Tensor

from lt_calib.measure.direction import better
from lt_calib.metric.cece import class_bin_sums


class BrierSplit(NamedTuple):
    """Parts of the Brier score, () float32 each; reliability - resolution + uncertainty, but for what bins hide."""

    reliability: Tensor
    resolution: Tensor
    uncertainty: Tensor


@better({"reliability": "lower", "resolution": "higher"})
def brier_split(probs: Tensor, targets: Tensor, n_bins: int = 15) -> BrierSplit:
    """Split the Brier score, summed over the classes, by each class's bins of its probability.

    With n_kb pictures in bin b of class k, their mean probability p_kb and label frequency o_kb, and the class's
    overall frequency o_k: reliability = sum_kb (n_kb / N) (p_kb - o_kb)^2, resolution = sum_kb (n_kb / N)
    (o_kb - o_k)^2, uncertainty = sum_k o_k (1 - o_k). Reliability - resolution + uncertainty is exactly the Brier
    score of the predictions p_kb, that is of the model's own where each bin holds one value.

    Args:
        probs: (N, K) float, rows sum to 1; taken as float32. Logits are refused.
        targets: (N,) int64.
        n_bins: >= 1, equal widths.

    Shape:
        Returns three numbers () float32 in [0, 2].

    Reference:
        Murphy, "A New Vector Partition of the Probability Score", 1973.
    """
    bins = class_bin_sums(probs, targets, n_bins)
    n = len(targets)
    weight = bins.count / n  # (K, n_bins)
    overall = torch.bincount(targets, minlength=probs.shape[1]).double() / n  # (K,)
    return BrierSplit(
        reliability=(weight * (bins.mean_probability - bins.frequency).square()).sum().float(),
        resolution=(weight * (bins.frequency - overall[:, None]).square()).sum().float(),
        uncertainty=(overall * (1 - overall)).sum().float(),
    )
