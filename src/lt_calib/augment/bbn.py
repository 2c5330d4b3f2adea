"""BBN's pairs of pictures."""

import torch
from torch import Tensor

from lt_calib.augment.draw import partner_of
from lt_calib.model.bbn import conventional_share

Batch = tuple[Tensor, Tensor]


class PairBBN:
    """Stack each picture with its partner by channel, and mix their targets: a t_c + (1 - a) t_r, a = 1 - (e / E)^2.

    An epoch's last batch, which may not be full, is trained on too; the authors' code leaves it out.

    With a loss that is linear in the target this is a l(y_c) + (1 - a) l(y_r), for :class:`lt_calib.model.bbn.BBN`.

    Args:
        max_epochs: E >= 1.

    Shape:
        images (B, 3, H, W) float -> (B, 6, H, W), targets (B, K) float.

    Reference:
        Zhou et al., "BBN: Bilateral-Branch Network with Cumulative Learning", CVPR 2020,
        section 4.
    """

    def __init__(self, max_epochs: int) -> None:
        self.max_epochs = max_epochs
        self.phases = {"re-balancing": max_epochs - 1}  # a is 1 in the first epoch
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Set the share a for an epoch, 0-based."""
        self.share = conventional_share(epoch, self.max_epochs)

    def __call__(
        self, images: Tensor, targets: Tensor, generator: torch.Generator, partner: Batch | None = None
    ) -> Batch:
        """Pair the batch."""
        other = partner_of(images, targets, generator, partner)
        return torch.cat([images, other[0]], dim=1), self.share * targets + (1 - self.share) * other[1]
