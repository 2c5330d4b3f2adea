import pytest
import torch

from lt_calib.augment.cutout import CutOut


def holes(size, prob=1.0, n=400, seed=0):
    images, targets = torch.ones(n, 3, 32, 32), torch.eye(10)[torch.arange(n) % 10]
    out, same = CutOut(size, prob)(images, targets, torch.Generator().manual_seed(seed))
    assert same is targets
    return out == 0


@pytest.mark.parametrize("size", [1, 8, 16])
def test_each_picture_has_one_square_hole_that_may_be_clipped(size):
    found = holes(size)
    assert torch.equal(found[:, 0], found[:, 1])  # all channels
    rows, columns = found[:, 0].any(2).sum(1), found[:, 0].any(1).sum(1)
    assert torch.equal(found[:, 0].sum((1, 2)), rows * columns)  # a rectangle
    assert int(rows.max()) == size
    assert int(rows.min()) >= min(size, size // 2)
    assert int(columns.max()) == size
    if size == 16:  # clipped on about half of the sides
        assert 0.4 < float((rows < size).float().mean()) < 0.6


def test_it_is_drawn_for_each_picture():
    assert len(torch.unique(holes(8)[:, 0].flatten(1), dim=0)) > 200  # not one hole for a (N, C, H, W) batch


def test_prob_is_of_each_picture():
    share = float(holes(8, prob=0.3).flatten(1).any(1).float().mean())
    assert 0.2 < share < 0.4
    assert not bool(holes(8, prob=0.0).any())


def test_bad_settings():
    with pytest.raises(ValueError, match="size 0"):
        CutOut(0)
    with pytest.raises(ValueError, match=r"prob 1.5"):
        CutOut(8, 1.5)
