"""What cross-entropy, Balanced Softmax, LAS and AWABS share: one linear form, and the smoothing factor."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

Counts = Sequence[int] | Sequence[float] | Tensor

EPS_MAX = 0.5


def check_counts(class_counts: Counts) -> Tensor:
    """Return the class counts as float64, refusing an empty class: its log frequency would be minus infinity."""
    counts = torch.as_tensor(class_counts, dtype=torch.float64)
    if counts.ndim != 1 or len(counts) == 0 or not bool((counts > 0).all()) or not bool(counts.isfinite().all()):
        raise ValueError(f"class_counts {counts.tolist()} must be one finite number > 0 for each class")
    return counts


def frequencies(class_counts: Counts, prior: Counts | None) -> Tensor:
    """Return pi (K,) float64: ``prior`` scaled to sum to 1, or n / N where it is None."""
    counts = check_counts(class_counts)
    if prior is None:
        return counts / counts.sum()
    pi = torch.as_tensor(prior, dtype=torch.float64)
    if pi.shape != counts.shape or not bool((pi > 0).all()) or not bool(pi.isfinite().all()):
        raise ValueError(f"prior {pi.tolist()} must be one finite number > 0 for each of the {len(counts)} classes")
    return pi / pi.sum()


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


class ClassLoss(nn.Module):
    """A loss that is linear in the target: sum_ic t_ic w_c l(z_i, c) / sum_ic t_ic w_c.

    A subclass defines :meth:`losses`. All that its settings decide lies in buffers, so that a stack of such losses can
    be evaluated at once.

    Args:
        num_classes: K.

    Attributes:
        weights: (K,) float32, w_c; 1 unless the loss is a weighted one.

    Shape:
        logits (B, K) float, targets (B,) int64 or (B, K) float; returns () float32.
    """

    weights: Tensor
    corrects = False  # whether it corrects for the classes' frequencies, so that nothing else may do so again

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.ones(num_classes))

    def losses(self, logits: Tensor) -> Tensor:
        """Compute l(z_i, c), (B, K) float32, from logits (B, K) float32."""
        raise NotImplementedError

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the batch's weighted mean."""
        each = self.losses(logits.float())
        if targets.ndim == 1:
            w = self.weights[targets]
            return (w * each.gather(1, targets[:, None])[:, 0]).sum() / w.sum()
        w = targets.float() * self.weights
        return (w * each).sum() / w.sum()


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
