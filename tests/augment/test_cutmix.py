import pytest
import torch

from lt_calib.augment.cutmix import CutMix

N = 6
IMAGES = torch.arange(N).float()[:, None, None, None].expand(-1, 3, 32, 32).clone()
TARGETS = torch.eye(N)


def mix(seed, **kwargs):
    return CutMix(**kwargs)(IMAGES, TARGETS, torch.Generator().manual_seed(seed))


def test_labels_are_mixed_by_the_pixels_pasted():
    for seed in range(50):
        images, targets = mix(seed)
        shares = torch.stack([(images[:, 0] == j).float().mean((1, 2)) for j in range(N)], dim=1)
        torch.testing.assert_close(targets, shares, atol=1e-6, rtol=0)


def test_the_box_is_a_rectangle_of_the_partners_pixels():
    areas = []
    for seed in range(200):
        pasted = mix(seed)[0][:, 0] != IMAGES[:, 0]
        box = pasted.any(0)
        assert int(box.sum()) == int(box.any(0).sum() * box.any(1).sum())
        areas.append(float(box.float().mean()))
    # lam ~ U(0, 1) with the clipping of a uniform center: the mean pasted area is well below 1/2 and above 1/4.
    assert 0.25 < sum(areas) / len(areas) < 0.45


def test_a_given_partner_is_what_is_pasted():
    partner = IMAGES + 100, torch.eye(N).flip(0)
    images, targets = CutMix()(IMAGES, TARGETS, torch.Generator().manual_seed(1), partner)
    share = (images[:, 0] >= 100).float().mean((1, 2))
    assert float(share[0]) > 0
    torch.testing.assert_close(targets, (1 - share)[:, None] * TARGETS + share[:, None] * partner[1])


def test_limits():
    for images, targets in (mix(0, alpha=0.0), mix(0, prob=0.0)):
        assert torch.equal(images, IMAGES)
        assert torch.equal(targets, TARGETS)


def test_prob_is_of_each_batch():
    mixed = sum(not torch.equal(mix(seed, prob=0.5)[0], IMAGES) for seed in range(200))
    assert 70 < mixed < 130


def test_bad_settings():
    with pytest.raises(ValueError, match="alpha -1"):
        CutMix(alpha=-1)
