"""Area under the ROC curve, one class against the rest."""

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from lt_calib.measure.check import check_probs
from lt_calib.measure.direction import better


@better("higher")
def macro_auroc(probs: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean over classes of P(p_c(x) > p_c(x')) + P(p_c(x) = p_c(x')) / 2, x of class c and x' of another.

    Whether a class's own images get more of its probability than others do, whatever the threshold; 1/2 is chance.
    Classes without an image, and one that all images are of, are left out.

    Args:
        probs: (N, K) float, rows sum to 1.
        targets: (N,) int64.

    Shape:
        Returns () float32, a fraction; NaN where no class is left.
    """
    probs = check_probs(probs, targets)
    classes = [c for c in targets.unique().tolist() if bool((targets != c).any())]
    each = [roc_auc_score((targets == c).numpy(force=True), probs[:, c].numpy(force=True)) for c in classes]
    return torch.tensor(each).mean().float()
