import torch

from lt_calib.model.resnet10 import ResNet10


def test_one_basic_block_a_stage():
    net = ResNet10()
    convolutions = 3 * 64 * 49 + 9 * (64 * 64 * 2 + 64 * 128 + 128**2 + 128 * 256 + 256**2 + 256 * 512 + 512**2)
    shortcuts = 64 * 128 + 128 * 256 + 256 * 512
    norms = 2 * (64 * 3 + 128 * 3 + 256 * 3 + 512 * 3)
    assert sum(p.numel() for p in net.parameters()) == convolutions + shortcuts + norms == 4_905_792


def test_features_at_any_size():
    net = ResNet10().eval()
    for size in (32, 50):
        assert net(torch.rand(2, 3, size, size)).shape == (2, net.num_features) == (2, 512)
