import pytest
import torch

from lt_calib.augment.cmo import CMO
from lt_calib.augment.cutmix import CutMix

IMAGES, TARGETS = torch.rand(6, 3, 32, 32), torch.eye(6)
PARTNER = IMAGES + 10, TARGETS.flip(0)


@pytest.mark.parametrize(("epochs", "on"), [(200, range(4, 197)), (100, range(2, 98)), (20, range(20))])
def test_it_is_off_in_the_first_and_last_epochs(epochs, on):
    cmo = CMO(epochs, prob=1.0)
    for epoch in range(epochs):
        cmo.set_epoch(epoch)
        images, _ = cmo(IMAGES, TARGETS, torch.Generator().manual_seed(2), PARTNER)
        assert torch.equal(images, IMAGES) == (epoch not in on)


def test_on_it_is_cutmix_with_the_partners_patch():
    for ours, theirs in zip(
        CMO(100, prob=0.5)(IMAGES, TARGETS, torch.Generator().manual_seed(4), PARTNER),
        CutMix(prob=0.5)(IMAGES, TARGETS, torch.Generator().manual_seed(4), PARTNER),
        strict=True,
    ):
        assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match=r"first 0.8"):
        CMO(10, first=0.8, last=0.3)


def test_effective_prior_on_cifar100_lt():
    """CMO moves the marginals: head to tail about 22 to 1 at IF 100, not 100 to 1."""
    from lt_calib.dataset.long_tail import class_counts

    counts = torch.tensor(class_counts(500, 100, 100), dtype=torch.float64)
    data = counts / counts.sum()
    # The mean weight of the partner's label, whose classes are uniform.
    cmo, draws, partner = CMO(200), torch.Generator().manual_seed(0), (IMAGES[:1], torch.eye(2)[1:])
    cmo.set_epoch(100)
    shares = [float(cmo(IMAGES[:1], torch.eye(2)[:1], draws, partner)[1][0, 1]) for _ in range(8000)]
    pasted = sum(shares) / len(shares)
    seen = (1 - pasted) * data + pasted / 100
    assert float(seen[0] / seen[-1]) == pytest.approx(22, abs=2)
