from typing import Any

import pytest
import torch
from torch import nn

from lt_calib.model.classifier import LearnableWeightScaling, Linear
from lt_calib.model.resnet_cifar import ResNet32, ResNetCIFAR


def test_parameters():
    count = sum(p.numel() for m in (ResNet32(), Linear(64, 10)) for p in m.parameters())
    assert count == 464_154


def test_depth_and_widths():
    convolutions = [m for m in ResNet32().modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) + 1 == 32
    assert sorted({m.out_channels for m in convolutions}) == [16, 32, 64]
    assert not [m for m in convolutions if m.kernel_size == (1, 1)]  # option A: no projection


def test_shortcut_subsamples_and_pads_with_zeros():
    block: Any = ResNet32().layer2[0].eval()
    nn.init.zeros_(block.bn2.weight)  # the residual branch gives 0
    x = torch.rand(2, 16, 8, 8)
    out = block(x).detach()
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert float(out[:, :8].abs().sum() + out[:, 24:].abs().sum()) == 0


def test_shapes():
    net = ResNet32()
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, net.num_features)


def test_weight_scaling_starts_as_the_classifier_and_scales_each_class():
    linear = Linear(64, 5)
    scaled = LearnableWeightScaling(linear)
    features = torch.randn(3, 64)
    assert torch.equal(scaled(features), linear(features))
    with torch.no_grad():
        scaled.scale[2] = 3
    torch.testing.assert_close(scaled(features)[:, 2], 3 * linear(features)[:, 2])
    assert torch.equal(scaled(features)[:, 1], linear(features)[:, 1])


def test_weights_are_kaiming_normal():
    torch.manual_seed(0)
    for module in ResNet32().modules():
        if isinstance(module, nn.Conv2d):
            assert float(module.weight.detach().std()) == pytest.approx((2 / (module.in_channels * 9)) ** 0.5, rel=0.15)
    assert float(Linear(64, 100).weight.detach().std()) == pytest.approx((2 / 64) ** 0.5, rel=0.05)


def test_blocks_of_none():
    with pytest.raises(ValueError, match="blocks 0 must be >= 1"):
        ResNetCIFAR(0)


def test_images_of_another_number_of_channels():
    net = ResNetCIFAR(1, in_channels=1)
    assert net(torch.rand(2, 1, 16, 16)).shape == (2, net.num_features)
    with pytest.raises(ValueError, match="images of 3 channels must have 1"):
        net(torch.rand(2, 3, 16, 16))
