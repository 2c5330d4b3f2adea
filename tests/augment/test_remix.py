import pytest
import torch

from lt_calib.augment.draw import beta
from lt_calib.augment.remix import Remix

COUNTS = [90, 30, 29, 1]


def by_definition(n_i, n_j, lam, kappa=3.0, tau=0.5):
    if n_i / n_j >= kappa and lam < tau:
        return 0.0
    if n_i / n_j <= 1 / kappa and 1 - lam < tau:
        return 1.0
    return lam


def test_each_pair_by_its_definition():
    own = torch.arange(4).repeat_interleave(4)
    other = torch.arange(4).repeat(4)
    images, partner = torch.ones(16, 3, 2, 2), torch.zeros(16, 3, 2, 2)
    eye = torch.eye(4)
    for seed in range(30):
        lam = float(beta(1.0, (), torch.Generator().manual_seed(seed)))
        out, targets = Remix(COUNTS)(images, eye[own], torch.Generator().manual_seed(seed), (partner, eye[other]))
        torch.testing.assert_close(out, torch.full_like(out, lam))  # the pictures are mixed as by mixup
        for i in range(16):
            weight = by_definition(COUNTS[own[i]], COUNTS[other[i]], lam)
            torch.testing.assert_close(targets[i], weight * eye[own[i]] + (1 - weight) * eye[other[i]])


def test_the_rarer_class_gets_the_label():
    """Per pair, not averaged first: one lam, two answers in one batch."""
    eye = torch.eye(4)
    seed = next(s for s in range(99) if float(beta(1.0, (), torch.Generator().manual_seed(s))) < 0.3)
    own, other = eye[[0, 3]], eye[[3, 0]]
    _, targets = Remix(COUNTS)(
        torch.ones(2, 3, 2, 2), own, torch.Generator().manual_seed(seed), (torch.zeros(2, 3, 2, 2), other)
    )
    assert targets[0].tolist() == [0, 0, 0, 1]
    assert 0 < float(targets[1, 3]) < 0.3


def test_equal_counts_are_mixup_and_alpha_zero_changes_nothing():
    images, targets = torch.rand(8, 3, 2, 2), torch.eye(4)[torch.arange(8) % 4]
    partner = images.flip(0), targets.flip(0)
    _, mixed = Remix([5] * 4)(images, targets, torch.Generator().manual_seed(1), partner)
    lam = float(beta(1.0, (), torch.Generator().manual_seed(1)))
    torch.testing.assert_close(mixed, lam * targets + (1 - lam) * partner[1])
    out, same = Remix(COUNTS, alpha=0.0)(images, targets, torch.Generator().manual_seed(1), partner)
    assert torch.equal(out, images)
    assert torch.equal(same, targets)


def test_tau_zero_is_mixup():
    images, targets = torch.rand(8, 3, 2, 2), torch.eye(4)[torch.arange(8) % 4]
    partner = images.flip(0), targets.flip(0)
    out, mixed = Remix(COUNTS, tau=0.0)(images, targets, torch.Generator().manual_seed(1), partner)
    lam = float(beta(1.0, (), torch.Generator().manual_seed(1)))
    torch.testing.assert_close(out, lam * images + (1 - lam) * partner[0])
    torch.testing.assert_close(mixed, lam * targets + (1 - lam) * partner[1])
    with pytest.raises(ValueError, match=r"kappa 0.5"):
        Remix(COUNTS, kappa=0.5)
