"""Balanced Softmax whose prior is what the loss really sees."""

import torch
from torch import Tensor

from lt_calib.loss.base import ClassLoss, Counts, frequencies, labels_of


class DynamicBalancedSoftmax(ClassLoss):
    """Balanced Softmax, l(z, y) = -log softmax(z + log f)_y, with a running estimate f of the label frequencies.

    After each training batch f <- m f + (1 - m) (mean of the batch's targets), mixed and resampled labels included: the
    cure where mixing moves the label marginals (CMO, Remix, UniMix) and no fixed prior is right.

    Args:
        class_counts: (K,) training pictures a class, > 0.
        momentum: m in [0, 1]; at 1 this is Balanced Softmax.
        prior: Where f starts; None means n / N.

    Attributes:
        estimate: (K,) float32, f.

    Shape:
        logits (B, K) float, targets (B,) int64 or (B, K) float; returns () float32.

    Raises:
        ValueError: momentum is out of [0, 1].

    Reference:
        Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition", NeurIPS 2020, equation 3, for the form.
    """

    corrects = True
    estimate: Tensor
    momentum: Tensor

    def __init__(self, class_counts: Counts, *, momentum: float = 0.99, prior: Counts | None = None) -> None:
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum {momentum} must be in [0, 1]")
        pi = frequencies(class_counts, prior)
        super().__init__(len(pi))
        self.register_buffer("momentum", torch.tensor(momentum))
        self.register_buffer("estimate", pi.float())

    def losses(self, logits: Tensor) -> Tensor:
        """Compute l(z_i, c), (B, K) float32."""
        # The floor keeps log f finite for a class that is not seen for thousands of batches.
        return -torch.log_softmax(logits + self.estimate.clamp(min=1e-8).log(), dim=1)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the batch's mean; in training, move the estimate afterwards."""
        loss = super().forward(logits, targets)
        if self.training:
            seen = labels_of(targets, len(self.estimate)).mean(0)
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                torch.distributed.all_reduce(seen)
                seen = seen / torch.distributed.get_world_size()
            self.estimate.lerp_(seen.to(self.estimate), 1 - self.momentum)
        return loss
