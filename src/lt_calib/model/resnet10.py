"""ResNet-10, the small network of the large long-tailed benchmarks."""

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

from lt_calib.model.torchvision import without_classifier


class ResNet10(nn.Module):
    """ResNet-10: ResNet-18 with one basic block, not two, in each of its four stages; 4 905 792 parameters.

    Attributes:
        num_features: 512.

    Shape:
        (B, 3, H, W) float -> (B, 512) float.

    Reference:
        Liu et al., "Large-Scale Long-Tailed Recognition in an Open World", CVPR 2019, section 4.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = ResNet(BasicBlock, [1, 1, 1, 1])
        self.num_features = without_classifier(self.network, "resnet10")

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features."""
        return self.network(images)
