"""Maximum calibration error (MCE)."""

from torch import Tensor

from lt_calib.measure.binning import on_ece_bins
from lt_calib.measure.direction import better
from lt_calib.metric.ece import bin_sums


@better("lower")
@on_ece_bins
def maximum_calibration_error(probs: Tensor, targets: Tensor, n_bins: int = 15) -> Tensor:
    """Compute MCE = max_b |acc_b - conf_b| over the bins that hold a picture.

    Args:
        probs: (N, K) float, rows sum to 1. Logits are refused.
        targets: (N,) int64.
        n_bins: >= 1.

    Shape:
        Returns () float32, a fraction.

    Reference:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 5.
    """
    return bin_sums(probs, targets, n_bins).gap.abs().max().float()
