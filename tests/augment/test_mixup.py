import pytest
import torch

from lt_calib.augment.mixup import Mixup

N = 6
IMAGES = torch.arange(N).float()[:, None, None, None].expand(-1, 3, 4, 4).clone()
TARGETS = torch.eye(N)


def test_pictures_and_labels_are_mixed_alike():
    for seed in range(20):
        images, targets = Mixup()(IMAGES, TARGETS, torch.Generator().manual_seed(seed))
        torch.testing.assert_close(images[:, 0, 0, 0], targets @ torch.arange(N).float())


def test_one_lam_a_batch_uniform_for_alpha_one():
    lams = []
    for seed in range(300):
        partner = torch.zeros_like(IMAGES), TARGETS.flip(0)
        images, _ = Mixup()(torch.ones_like(IMAGES), TARGETS, torch.Generator().manual_seed(seed), partner)
        assert float(images.max()) == float(images.min())
        lams.append(float(images[0, 0, 0, 0]))
    lams = torch.tensor(lams)
    assert float(lams.mean()) == pytest.approx(0.5, abs=0.05)
    assert float(lams.var()) == pytest.approx(1 / 12, abs=0.015)


def test_limits():
    for mixup in (Mixup(alpha=0), Mixup(prob=0)):
        images, targets = mixup(IMAGES, TARGETS, torch.Generator().manual_seed(0))
        assert torch.equal(images, IMAGES)
        assert torch.equal(targets, TARGETS)
    with pytest.raises(ValueError, match="alpha -1"):
        Mixup(alpha=-1)
