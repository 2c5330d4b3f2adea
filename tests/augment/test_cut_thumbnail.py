import pytest
import torch

from lt_calib.augment.cut_thumbnail import CutThumbnail

IMAGES = torch.rand(5, 3, 32, 32) + 1
TARGETS = torch.eye(5)


@pytest.mark.parametrize("per", ["batch", "picture"])
def test_the_thumbnail_lies_wholly_inside(per):
    places = set()
    for seed in range(30):
        out, targets = CutThumbnail(16, 1.0, per)(IMAGES, TARGETS, torch.Generator().manual_seed(seed))
        assert targets is TARGETS
        for picture, result in zip(IMAGES, out, strict=True):
            small = picture[:, ::2, ::2]  # nearest, at half the side
            found = [
                (y, x) for y in range(17) for x in range(17) if torch.equal(result[:, y : y + 16, x : x + 16], small)
            ]
            assert len(found) == 1
            y, x = found[0]
            rest = torch.ones(32, 32, dtype=torch.bool)
            rest[y : y + 16, x : x + 16] = False
            assert torch.equal(result[:, rest], picture[:, rest])
            places.add((seed, *found[0]))
    assert (len(places) == 30) == (per == "batch")


def test_prob():
    same = sum(
        torch.equal(CutThumbnail(16, 0.8)(IMAGES, TARGETS, torch.Generator().manual_seed(s))[0], IMAGES)
        for s in range(300)
    )
    assert 35 < same < 90
    assert torch.equal(CutThumbnail(16, 0.0)(IMAGES, TARGETS, torch.Generator())[0], IMAGES)


def test_bad_settings():
    with pytest.raises(ValueError, match="size 32 must be smaller"):
        CutThumbnail(32)(IMAGES, TARGETS, torch.Generator())
    with pytest.raises(ValueError, match="per 'row'"):
        CutThumbnail(per="row")
