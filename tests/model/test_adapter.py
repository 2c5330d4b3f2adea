from typing import Any

import pytest
import torch
from torch import nn

from lt_calib.errors import InputError
from lt_calib.model.adapter import AdaptFormer


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4))

    def forward(self, x):
        return x + self.mlp(x)


class Transformer(nn.Module):
    num_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block())

    def forward(self, x):
        return self.blocks(x)


def test_only_the_narrow_mlps_are_trained_and_they_begin_at_nothing():
    network: Any = Transformer()
    x = torch.randn(5, 4)
    before = network(x)
    adapted = AdaptFormer(network, width=3, scale=0.5)
    assert adapted(x).equal(before)
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert len(trained) == 8
    assert all(".up." in name or ".down." in name for name in trained)
    assert sum(p.numel() for p in adapted.parameters() if p.requires_grad) == 2 * (2 * 4 * 3 + 4 + 3)
    assert not adapted.train().training


def test_by_hand():
    network: Any = Transformer()
    adapted = AdaptFormer(network, width=3, scale=0.5)
    x = torch.randn(5, 4)
    part = network.blocks[0].mlp
    with torch.no_grad():
        part.up.weight.normal_()
        beside = torch.relu(x @ part.down.weight.T + part.down.bias) @ part.up.weight.T + part.up.bias
        expected = network.blocks[1](x + part.mlp(x) + 0.5 * beside)
        torch.testing.assert_close(adapted(x), expected)


def test_what_has_no_blocks_is_refused():
    with pytest.raises(InputError, match="whose blocks have an mlp; Linear has none"):
        AdaptFormer(nn.Linear(2, 2))
    with pytest.raises(InputError, match=r"width=0 must be >= 1"):
        AdaptFormer(Transformer(), width=0)
