"""What cross-entropy, Balanced Softmax, LAS and AWABS share: one linear form, and the smoothing factor."""

import math

import torch
from torch import Tensor

from lt_calib.loss.base import ClassLoss, Counts, check_counts

EPS_MAX = 0.5


def smoothing_factor(class_counts: Counts, eps_head: float, eps_tail: float, form: str) -> Tensor:
    """Compute eps_c = f(n_c), from eps_K at the smallest class to eps_1 at the largest.

    With r = (n_c - n_K) / (n_1 - n_K):

    - concave: eps_K + (eps_1 - eps_K) sin(pi r / 2)
    - linear: eps_K + (eps_1 - eps_K) r
    - convex: eps_1 + (eps_1 - eps_K) sin(3 pi / 2 + pi r / 2)

    Where all classes are of one size, r = 0 / 0 and every class gets eps_head.

    Args:
        class_counts: (K,) training pictures a class, > 0.
        eps_head: eps_1, in [eps_tail, 0.5].
        eps_tail: eps_K, in [0, eps_head].
        form: ``"concave"``, ``"linear"`` or ``"convex"``.

    Shape:
        Returns (K,) float64.

    Raises:
        ValueError: an unknown form, or eps out of 0 <= eps_tail <= eps_head <= 0.5.

    Example:
        >>> smoothing_factor([500, 50, 5], eps_head=0.2, eps_tail=0.0, form="linear").tolist()[::2]
        [0.2, 0.0]

    Reference:
        Zhong et al., "Improving Calibration for Long-Tailed Recognition", CVPR 2021, equations 5a to 5c.
    """
    if not 0 <= eps_tail <= eps_head <= EPS_MAX:
        raise ValueError(
            f"eps_head {eps_head} and eps_tail {eps_tail} must satisfy 0 <= eps_tail <= eps_head <= {EPS_MAX}"
        )
    counts = check_counts(class_counts)
    spread = counts.max() - counts.min()
    r = (counts - counts.min()) / spread if spread > 0 else torch.ones_like(counts)
    if form == "concave":
        return eps_tail + (eps_head - eps_tail) * torch.sin(math.pi / 2 * r)
    if form == "linear":
        return eps_tail + (eps_head - eps_tail) * r
    if form == "convex":
        return eps_head + (eps_head - eps_tail) * torch.sin(math.pi / 2 * (3 + r))
    raise ValueError(f"form {form!r} must be 'concave', 'linear' or 'convex'")


class SmoothedCrossEntropy(ClassLoss):
    """The form l(z, y) = -(d_y log p_y + r_y sum_i v_i log p_i) with p = softmax(z + log pi).

    Args:
        d: (K,) weight of the sample's own class.
        r: (K,) weight of the smoothing term, by the sample's class.
        v: (K,) how the smoothing term is spread over the classes.
        log_prior: (K,) log pi, added to the logits.
    """

    d: Tensor
    r: Tensor
    v: Tensor
    log_prior: Tensor

    def __init__(self, d: Tensor, r: Tensor, v: Tensor, log_prior: Tensor) -> None:
        super().__init__(len(d))
        for name, value in {"d": d, "r": r, "v": v, "log_prior": log_prior}.items():
            self.register_buffer(name, value.to(torch.float32))

    def losses(self, logits: Tensor) -> Tensor:
        """Compute l(z_i, c), (B, K) float32."""
        log_p = torch.log_softmax(logits + self.log_prior, dim=1)  # (B, K)
        smooth = (log_p * self.v).sum(dim=1, keepdim=True)  # (B, 1); no matrix product: autocast would round it
        return -(self.d * log_p + self.r * smooth)
