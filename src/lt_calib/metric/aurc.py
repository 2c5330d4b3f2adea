"""Area under the risk-coverage curve (AURC)."""

from typing import NamedTuple

import torch
from torch import Tensor

from lt_calib.measure.direction import better
from lt_calib.metric.ece import confidence_and_correct


class RiskCoverage(NamedTuple):
    """The error of the i most confident pictures, i = 1 .. N, (N,) float64 each."""

    coverage: Tensor
    risk: Tensor


def risk_coverage(probs: Tensor, targets: Tensor) -> RiskCoverage:
    """Compute the risk at every coverage: coverage_i = i / N, risk_i = errors among the i most confident / i.

    Pictures of one confidence come in no order: each counts with their mean error.

    Args:
        probs: (N, K) float, rows sum to 1; taken as float32. Logits are refused.
        targets: (N,) int64.
    """
    confidence, correct = confidence_and_correct(probs, targets)
    order = confidence.argsort(descending=True)
    _, tied, size = confidence[order].unique_consecutive(return_inverse=True, return_counts=True)
    wrong = (~correct[order]).double()
    mean = torch.zeros(len(size), dtype=torch.float64, device=wrong.device).index_add(0, tied, wrong) / size
    kept = torch.arange(1, len(wrong) + 1, dtype=torch.float64, device=wrong.device)
    return RiskCoverage(kept / len(wrong), mean[tied].cumsum(0) / kept)


@better("lower")
def area_under_risk_coverage(probs: Tensor, targets: Tensor) -> Tensor:
    """Compute AURC = mean_i risk_i: 0 for a model that is always right; the lower, the better errors are told apart.

    Args:
        probs: (N, K) float, rows sum to 1; taken as float32. Logits are refused.
        targets: (N,) int64.

    Shape:
        Returns () float32, a fraction.

    Reference:
        Geifman et al., "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", ICLR 2019, section 2.
    """
    return risk_coverage(probs, targets).risk.mean().float()
