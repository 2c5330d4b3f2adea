"""AWABS: label-aware smoothing with Balanced Softmax."""

import logging

import torch
from torch import Tensor

from lt_calib.loss.base import Counts, frequencies
from lt_calib.loss.smoothing import SmoothedCrossEntropy, smoothing_factor

log = logging.getLogger(__name__)


class AWABS(SmoothedCrossEntropy):
    """Label-aware smoothing with Balanced Softmax: l(z, y) = -sum_i s_i log p_i with p = softmax(z + log pi).

    Let t^y be the prediction that is wanted for a sample of class y: t^y_y = 1 - eps_y, and eps_y / (K - 1) on each
    other class. ``target_space`` says in which space t^y is wanted:

    - ``"test"``: s_i = pi_i t^y_i / pi_y, not renormalised. For any class-balanced posterior q(y | x) the minimiser is
      softmax(z) = sum_y q_y t^y: what label-aware smoothing reaches on class-balanced batches, here from
      instance-sampled ones.
    - ``"test_normalised"``: the same divided by its sum. The minimiser is the same only where the label is certain.
    - ``"train"``: s = t^y, the formula as it is printed. Its minimiser for a certain label is
      z_i = log(t_i / pi_i) + c, so that the *test* prediction softmax(z) of a head picture is pushed to the tail.

    Under a uniform pi all three are label-aware smoothing on a plain softmax.

    Args:
        class_counts: (K,) training pictures a class, K >= 2.
        eps_head: eps_1, smoothing of the largest class, in [eps_tail, 0.5].
        eps_tail: eps_K, smoothing of the smallest class, in [0, eps_head].
        form: ``"concave"``, ``"linear"`` or ``"convex"``: how eps goes between them.
        target_space: ``"test"``, ``"test_normalised"`` or ``"train"``.
        prior: pi (K,), the class frequencies of the batches that are really drawn; None means n / N.

    Attributes:
        eps: (K,) float32, the smoothing factor of each class.

    Shape:
        logits (B, K) float, targets (B,) int64 or (B, K) float; returns () float32.

    Raises:
        ValueError: fewer than two classes, or a setting out of its range.

    Example:
        >>> loss = AWABS([500, 50, 5], eps_head=0.2, eps_tail=0.0)
        >>> [round(eps, 3) for eps in loss.eps.tolist()]
        [0.2, 0.028, 0.0]
        >>> loss(torch.zeros(2, 3), torch.tensor([0, 2])).shape
        torch.Size([])
    """

    corrects = True
    eps: Tensor

    def __init__(
        self,
        class_counts: Counts,
        *,
        eps_head: float,
        eps_tail: float,
        form: str = "concave",
        target_space: str = "test",
        prior: Counts | None = None,
    ) -> None:
        pi = frequencies(class_counts, prior)
        k = len(pi)
        if k < 2:
            raise ValueError(f"AWABS needs at least 2 classes, got {k}")
        eps = smoothing_factor(class_counts, eps_head, eps_tail, form)
        one = torch.ones_like(pi)
        other = eps / (k - 1)  # t^y_i for i != y
        if target_space == "train":
            d, r, v = 1 - eps - other, other, one
        elif target_space in ("test", "test_normalised"):
            d, r, v = 1 - eps - other, other / pi, pi  # v_y r_y = other: taken off the own class's 1 - eps
            if target_space == "test_normalised":
                total = d + r  # sum_i s_i, since v sums to 1
                d, r = d / total, r / total
        else:
            raise ValueError(f"target_space {target_space!r} must be 'test', 'test_normalised' or 'train'")
        super().__init__(d=d, r=r, v=v, log_prior=pi.log())
        self.register_buffer("eps", eps.float())
        if torch.allclose(pi, pi.mean(), rtol=1e-9):
            log.info("AWABS under a uniform prior: its loss is label-aware smoothing on a plain softmax.")
