from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lt_calib.errors import InputError
from lt_calib.model.frozen import Frozen, Input
from lt_calib.model.standardize import Standardize


class Mean(nn.Module):
    """The mean of each channel, with a batch norm and a dropout that must stay still."""

    num_features = 3
    input = Input(4, (0.5, 0.0, 0.25), (0.5, 1.0, 0.25))

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3, eps=0)
        self.drop = nn.Dropout(0.5)

    def forward(self, images: Tensor) -> Tensor:
        return self.drop(self.norm(images)).mean((2, 3))


def test_a_frozen_network_normalizes_resizes_and_stays_as_it_is():
    frozen: Any = Frozen(Mean())
    image = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    expected = torch.tensor([[1.0, 0.5, -1.0]])  # (1 - 0.5) / 0.5, 0.5 / 1, (0 - 0.25) / 0.25; a plain color stays one
    assert frozen.train()(image).equal(expected)
    assert not frozen.training
    assert not frozen.network.norm.training
    assert not any(p.requires_grad for p in frozen.parameters())
    assert frozen(torch.rand(5, 3, 9, 7)).shape == (5, 3)
    assert Frozen(Mean(), 6).input == Input(6, (0.5, 0.0, 0.25), (0.5, 1.0, 0.25))


def test_its_hash_is_of_the_weights():
    one, other = Frozen(Mean()), Frozen(Mean())
    network: Any = other.network
    assert one.sha256 == other.sha256
    network.norm.running_mean[0] = 1e-7
    assert one.sha256 != other.sha256


def test_what_cannot_be_frozen_is_refused():
    with pytest.raises(InputError, match="does not say what its weights were trained to see"):
        Frozen(nn.Identity())
    with pytest.raises(InputError, match=r"features\.size=0 must be >= 1"):
        Frozen(Mean(), 0)
    fixed, wide = Mean(), Mean()
    fixed.norm = nn.Linear(4, 4)  # type: ignore[assignment]
    with pytest.raises(InputError, match="takes no images of 5 pixels"):
        Frozen(fixed, 5)
    wide.num_features = 7
    with pytest.raises(InputError, match=r"makes \(1, 3\) of an image"):
        Frozen(wide)


def test_standardize_takes_the_training_rows_mean_and_deviation():
    rows = torch.tensor([[1.0, 10.0, 5.0], [3.0, 30.0, 5.0]])  # variances 1, 100, 0
    each, one, none = (Standardize(3, scale) for scale in ("each", "one", "none"))
    for module in (each, one, none):
        module.fit(rows)
    assert each(rows).tolist() == [[-1, -1, 0], [1, 1, 0]]
    s = 101**0.5 / 10  # all deviation is along (1, 10, 0)
    torch.testing.assert_close(one(rows), torch.tensor([[-1 / s, -10 / s, 0], [1 / s, 10 / s, 0]]))
    assert none(rows).equal(rows)
    with pytest.raises(InputError, match=r"features\.standardize=two"):
        Standardize(3, "two")
