"""The store of features: an image is computed once, whatever asks for it, and a kill costs one piece."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lt_calib.cache import features
from lt_calib.cache.features import FeatureStore
from lt_calib.errors import InputError
from lt_calib.model.frozen import Frozen, Input


class Counting(nn.Module):
    num_features = 2
    input = Input(3, (0.0,) * 3, (1.0,) * 3)

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.seen = 0
        self.fails_after = 10**9

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        if self.seen > self.fails_after:
            raise KeyboardInterrupt
        return self.scale * images.mean((2, 3))[:, :2]


def store(root: Path | None, network: Counting) -> FeatureStore:
    made = FeatureStore(root, Frozen(network), torch.device("cpu"), "32-true")
    network.seen = 0
    return made


def batches(images: Tensor, size: int = 4) -> list[list[Tensor]]:
    return [[part, torch.zeros(len(part))] for part in images.split(size)]


IMAGES = torch.rand(10, 3, 3, 3, generator=torch.Generator().manual_seed(0))
EXPECTED = IMAGES.mean((2, 3))[:, :2].half().float()


def test_an_image_is_computed_once(tmp_path):
    network = Counting()
    assert store(tmp_path, network).rows(batches(IMAGES), 10, "train").equal(EXPECTED)
    assert network.seen == 10
    shuffled = torch.tensor([7, 7, 3, 0])
    again = Counting()
    assert store(tmp_path, again).rows(batches(IMAGES[shuffled]), 4, "a subset").equal(EXPECTED[shuffled])
    assert again.seen == 0
    new = torch.cat([IMAGES[:2], IMAGES[:3] / 2])
    assert store(tmp_path, again).rows(batches(new), 5, "others").shape == (5, 2)
    assert again.seen == 3
    off = Counting()
    assert store(None, off).rows(batches(torch.cat([IMAGES, IMAGES])), 20, "twice").equal(torch.cat([EXPECTED] * 2))
    assert off.seen == 10


def test_other_weights_are_another_store(tmp_path):
    store(tmp_path, Counting()).rows(batches(IMAGES), 10, "train")
    other = Counting(2.0)
    found = store(tmp_path, other).rows(batches(IMAGES), 10, "train")
    assert other.seen == 10
    assert found.equal((2 * IMAGES.mean((2, 3))[:, :2]).half().float())


def test_a_kill_costs_what_is_in_no_piece_yet(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "PIECE", 4)
    network = Counting()
    killed = store(tmp_path, network)
    network.fails_after = 8
    with pytest.raises(KeyboardInterrupt):
        killed.rows(batches(IMAGES), 10, "train")
    again = Counting()
    assert store(tmp_path, again).rows(batches(IMAGES), 10, "train").equal(EXPECTED)
    assert again.seen == 2


def test_a_damaged_piece_is_computed_again(tmp_path):
    store(tmp_path, Counting()).rows(batches(IMAGES), 10, "train")
    (piece,) = tmp_path.rglob("*.npz")
    piece.write_bytes(piece.read_bytes()[:100])
    again = Counting()
    assert store(tmp_path, again).rows(batches(IMAGES), 10, "train").equal(EXPECTED)
    assert again.seen == 10


def test_what_float16_cannot_hold_is_refused(tmp_path):
    with pytest.raises(InputError, match="not finite in float16"):
        store(tmp_path, Counting(1e6)).rows(batches(IMAGES), 10, "train")
    assert not list(tmp_path.rglob("*.npz"))
    assert np.isfinite(store(tmp_path, Counting()).rows(batches(IMAGES), 10, "train").numpy()).all()
