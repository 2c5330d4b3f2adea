"""BBN's backbone: two branches."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lt_calib.model.resnet_cifar import BasicBlock, ResNetCIFAR


class BBN(ResNetCIFAR):
    """ResNet-32 with its last residual block twice: a conventional and a re-balancing branch.

    In training, pictures come in pairs, stacked by channel (:class:`lt_calib.augment.bbn.PairBBN`): the first goes down
    the conventional branch and the second down the other, and the features are [2 a f_c ; 2 (1 - a) f_r] with
    a = 1 - (e / E)^2 in the epoch e, 0-based. At test a picture goes down both, unscaled: [f_c ; f_r], whose logits
    W [f_c ; f_r] are the sum of both branches'.

    In the authors' code the classifier begins as torch's Linear, and an epoch's last batch is left out where it is not
    full; here both are as of every other network: a Kaiming-normal classifier, and every image trained on.

    Args:
        max_epochs: E >= 1.
        in_channels: C, of one image.

    Shape:
        (B, 2 C, H, W) in training, (B, C, H, W) at test -> (B, 128).

    Reference:
        Zhou et al., "BBN: Bilateral-Branch Network with Cumulative Learning", CVPR 2020, section 4.
    """

    num_features = 128
    share: Tensor

    def __init__(self, max_epochs: int, in_channels: int = 3) -> None:
        super().__init__(blocks=5, in_channels=in_channels)
        self.layer3 = nn.Sequential(*list(self.layer3)[:-1])
        self.conventional = BasicBlock(64, 64, 1)
        self.rebalancing = BasicBlock(64, 64, 1)
        for module in (*self.conventional.modules(), *self.rebalancing.modules()):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        self.max_epochs = max_epochs
        # A tensor: for another number each epoch the backbone would be compiled again.
        self.register_buffer("share", torch.ones(()), persistent=False)

    def set_epoch(self, epoch: int) -> None:
        """Set the share a of the conventional branch for an epoch, 0-based."""
        self.share.fill_(conventional_share(epoch, self.max_epochs))

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features of both branches, (B, 128)."""
        if images.shape[1] == self.in_channels:
            if self.training:
                raise ValueError("BBN is trained on pairs of pictures: model=bbn needs augment=bbn")
            shared = self._shared(images)
            return torch.cat([self.conventional(shared), self.rebalancing(shared)], dim=1).mean(dim=(2, 3))
        # One pass each, so that batch norm does not mix the two samplers' statistics.
        first, second = (x.contiguous(memory_format=torch.channels_last) for x in images.split(self.in_channels, dim=1))
        # In float32, where autocast is on too: bfloat16 would round the share to two digits.
        f_c = self.conventional(self._shared(first)).mean(dim=(2, 3)).float()
        f_r = self.rebalancing(self._shared(second)).mean(dim=(2, 3)).float()
        return 2 * torch.cat([self.share * f_c, (1 - self.share) * f_r], dim=1)

    def _shared(self, images: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(images)))
        return self.layer3(self.layer2(self.layer1(x)))


def conventional_share(epoch: int, max_epochs: int) -> float:
    """Compute a = 1 - (e / E)^2 for the epoch e, 0-based."""
    return 1 - (epoch / max(1, max_epochs)) ** 2
