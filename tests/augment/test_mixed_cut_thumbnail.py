import pytest
import torch

from lt_calib.augment.mixed_cut_thumbnail import MixedCutThumbnail

IMAGES = torch.arange(1, 6).float()[:, None, None, None].expand(-1, 3, 32, 32).clone()
TARGETS = torch.eye(5)


def test_a_quarter_of_the_picture_and_of_the_label_is_the_partners():
    partner = IMAGES.flip(0) * 100, TARGETS.flip(0)
    images, targets = MixedCutThumbnail(prob=1.0)(IMAGES, TARGETS, torch.Generator().manual_seed(0), partner)
    share = (images[:, 0] >= 100).float().mean((1, 2))
    assert share.tolist() == [0.25] * 5
    torch.testing.assert_close(targets, 0.75 * TARGETS + 0.25 * partner[1])


def test_not_drawn_leaves_both():
    images, targets = MixedCutThumbnail(prob=0.0)(IMAGES, TARGETS, torch.Generator().manual_seed(0))
    assert torch.equal(images, IMAGES)
    assert torch.equal(targets, TARGETS)
    with pytest.raises(ValueError, match="weight 2"):
        MixedCutThumbnail(weight=2)
