"""Root-mean-square calibration error."""

from torch import Tensor

from lt_calib.measure.binning import on_ece_bins
from lt_calib.measure.direction import better
from lt_calib.metric.ece import bin_sums


@better("lower")
@on_ece_bins
def root_mean_square_calibration_error(probs: Tensor, targets: Tensor, n_bins: int = 15) -> Tensor:
    """Compute sqrt(sum_b (n_b / N) (acc_b - conf_b)^2), the l2 twin of the ECE.

    Args:
        probs: (N, K) float, rows sum to 1. Logits are refused.
        targets: (N,) int64.
        n_bins: >= 1, equal widths.

    Shape:
        Returns () float32, a fraction; never below the ECE.

    Reference:
        Kumar et al., "Verified Uncertainty Calibration", NeurIPS 2019, definition 2.1.
    """
    bins = bin_sums(probs, targets, n_bins)
    return (bins.share * bins.gap.square()).sum().sqrt().float()
