"""Label-aware smoothing (LAS)."""

import torch
from torch import Tensor

from lt_calib.loss.base import Counts, check_counts
from lt_calib.loss.smoothing import SmoothedCrossEntropy, smoothing_factor


class LabelAwareSmoothing(SmoothedCrossEntropy):
    """Label smoothing whose strength eps_y grows with the size of the class, on a plain softmax.

    l(z, y) = -sum_i t^y_i log softmax(z)_i, with eps_y = f(n_y).

    Args:
        class_counts: (K,) training pictures a class, K >= 2.
        eps_head: eps_1, smoothing of the largest class, in [eps_tail, 0.5].
        eps_tail: eps_K, smoothing of the smallest class, in [0, eps_head].
        form: ``"concave"``, ``"linear"`` or ``"convex"``: f between them.
        spread: ``"others"``: t_y = 1 - eps_y and eps_y / (K - 1) on each other class, as in the paper; ``"all"``:
            t_y = 1 - eps_y + eps_y / K and eps_y / K on each other class, as in the authors' code.
        prior: Ignored: the softmax is a plain one, meant for class-balanced batches.

    Shape:
        logits (B, K) float, targets (B,) int64 or (B, K) float; returns () float32.

    Example:
        >>> LabelAwareSmoothing([500, 5], eps_head=0.3, eps_tail=0.1).eps.tolist() == torch.tensor([0.3, 0.1]).tolist()
        True

    Raises:
        ValueError: fewer than two classes, or a setting out of its range.

    Reference:
        Zhong et al., "Improving Calibration for Long-Tailed Recognition", CVPR 2021, equation 3.
    """

    eps: Tensor

    def __init__(
        self,
        class_counts: Counts,
        *,
        eps_head: float,
        eps_tail: float,
        form: str = "concave",
        spread: str = "others",
        prior: Counts | None = None,
    ) -> None:
        k = len(check_counts(class_counts))
        if k < 2:
            raise ValueError(f"label-aware smoothing needs at least 2 classes, got {k}")
        eps = smoothing_factor(class_counts, eps_head, eps_tail, form)
        if spread == "others":
            r = eps / (k - 1)
        elif spread == "all":
            r = eps / k
        else:
            raise ValueError(f"spread {spread!r} must be 'others' or 'all'")
        one = torch.ones_like(eps)
        own = r if spread == "others" else torch.zeros_like(r)  # v_y = 1 puts r on the own class too
        super().__init__(d=one - eps - own, r=r, v=one, log_prior=torch.zeros_like(eps))
        self.register_buffer("eps", eps.float())
