"""CMO: context-rich minority oversampling."""

import torch
from torch import Tensor

from lt_calib.augment.cutmix import CutMix

Batch = tuple[Tensor, Tensor]


class CMO(CutMix):
    """CutMix whose background is the ordinary batch and whose patch comes from a partner sampler of uniform classes.

    Under class weights w the authors take two means, lam M_a + (1 - lam) M_b with M_a = sum_i w_a l_a / sum_i w_a over
    the labels a of the backgrounds, M_b over those b of the patches. One mean over both, the default, has the patches'
    share (1 - lam) W_b / (lam W_a + (1 - lam) W_b) in the place of 1 - lam, with W the mean weight of the labels; so
    has, for all that it divides by, the sum over the batch size. W_b is several times W_a, since the patches' classes
    are uniform. Where partners are a permutation of the batch, as CutMix's and mixup's, W_a = W_b and all of it is one.

    Args:
        max_epochs: E >= 0.
        first: Epochs at the start without it, as a fraction of E (4 of 200 in the first epochs).
        last: Epochs at the end without it, as a fraction of E (3 of 200).
        alpha: Of the Beta distribution, >= 0.
        prob: Probability of mixing, for each draw, in [0, 1].
        per: ``"batch"`` draws once a batch, as the authors do; ``"picture"`` for each picture.
        two_means: Whether a loss with class weights takes the authors' two means: the targets then stay in two parts.

    Shape:
        images (B, 3, H, W) float, targets (B, K) float; returns the same, and with ``two_means`` targets
        (B, 2, K): lam t_a and (1 - lam) t_b, for a :class:`lt_calib.loss.base.ClassLoss`.

    Raises:
        ValueError: the fractions are below 0, or sum to more than 1.

    Reference:
        Park et al., "The Majority Can Help the Minority: Context-rich Minority Oversampling for Long-tailed
        Classification", CVPR 2022, algorithm 1.
    """

    def __init__(
        self,
        max_epochs: int,
        *,
        first: float = 0.02,
        last: float = 0.015,
        alpha: float = 1.0,
        prob: float = 0.5,
        per: str = "batch",
        two_means: bool = False,
    ) -> None:
        super().__init__(alpha, prob, per)
        if not (first >= 0 and last >= 0 and first + last <= 1):
            raise ValueError(
                f"first {first} and last {last} must be >= 0, fractions of the epochs, and sum to at most 1"
            )
        self.two_means = two_means
        self.start = round(first * max_epochs)
        self.end = max_epochs - round(last * max_epochs)
        self.phases = {"mixing": self.end - self.start}
        self.phases |= {
            f"the {key} epochs without mixing": n
            for key, n, share in (("first", self.start, first), ("last", max_epochs - self.end, last))
            if share > 0
        }
        self.on = True

    def set_epoch(self, epoch: int) -> None:
        """Switch it on or off for an epoch, 0-based."""
        self.on = self.start <= epoch < self.end

    def __call__(
        self, images: Tensor, targets: Tensor, generator: torch.Generator, partner: Batch | None = None
    ) -> Batch:
        """Mix the batch."""
        if not self.on:
            return images, targets
        mixed, own, patch = self.cut(images, targets, generator, partner)
        return mixed, torch.stack([own, patch], dim=1) if self.two_means else own + patch
