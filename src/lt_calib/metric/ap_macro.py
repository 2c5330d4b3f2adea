"""Average precision, one class against the rest."""

import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from lt_calib.measure.check import check_probs
from lt_calib.measure.direction import better


@better("higher")
def macro_average_precision(probs: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean over classes of sum_k (R_k - R_{k-1}) P_k, over the thresholds k of p_c from the highest.

    P_k and R_k are the precision and recall of class c among the images whose p_c reaches the threshold. Chance is the
    class's share of the images, so that it depends on the test set's own frequencies.
    Classes without an image, and one that all images are of, are left out.

    Args:
        probs: (N, K) float, rows sum to 1.
        targets: (N,) int64.

    Shape:
        Returns () float32, a fraction; NaN where no class is left.
    """
    probs = check_probs(probs, targets)
    classes = [c for c in targets.unique().tolist() if bool((targets != c).any())]
    each = [average_precision_score((targets == c).numpy(force=True), probs[:, c].numpy(force=True)) for c in classes]
    return torch.tensor(each).mean().float()
