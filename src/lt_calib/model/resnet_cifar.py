"""ResNets for 32 x 32 pictures (He et al. 2016, section 4.2), as backbones: pictures to features."""

import torch.nn.functional as F
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a parameter-free (option A) shortcut: subsample, pad the channels with zeros."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.missing = channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.stride > 1 or self.missing:
            before = self.missing // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.missing - before))
        return F.relu(out + x)


class ResNetCIFAR(nn.Module):
    """A 3 x 3 convolution, three groups of basic blocks of widths 16, 32, 64, and the global average.

    Kaiming-normal weights. Depth is 6 n + 2, the classifier counted.

    Args:
        blocks: n >= 1, basic blocks per group.
        in_channels: C of the images.

    Attributes:
        num_features: 64.

    Shape:
        (B, C, H, W) float -> (B, 64) float.

    Raises:
        ValueError: blocks is below 1.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
    """

    num_features = 64

    def __init__(self, blocks: int, in_channels: int = 3) -> None:
        super().__init__()
        if blocks < 1:
            raise ValueError(f"blocks {blocks} must be >= 1, basic blocks a group: 5 for ResNet-32")
        self.in_channels = in_channels
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._group(16, 16, blocks, stride=1)
        self.layer2 = self._group(16, 32, blocks, stride=2)
        self.layer3 = self._group(32, 64, blocks, stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    @staticmethod
    def _group(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
        first = BasicBlock(in_channels, channels, stride)
        return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(blocks - 1)))

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features."""
        if images.shape[1] != self.in_channels:
            raise ValueError(
                f"images of {images.shape[1]} channels must have {self.in_channels}: "
                "pairs, by augment=bbn, need model=bbn"
            )
        x = F.relu(self.bn1(self.conv1(images)))  # (B, 16, H, W)
        x = self.layer3(self.layer2(self.layer1(x)))  # (B, 64, H / 4, W / 4)
        return x.mean(dim=(2, 3))


class ResNet32(ResNetCIFAR):
    """ResNet-32: five blocks a group; 464 154 parameters with a 10-class linear classifier."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(blocks=5, in_channels=in_channels)
