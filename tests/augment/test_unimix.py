import pytest
import torch

from lt_calib.augment.draw import beta
from lt_calib.augment.unimix import UniMix

COUNTS = [99, 1]


def test_each_pair_by_its_definition():
    own, other = torch.eye(2)[[0, 0, 1, 1]], torch.eye(2)[[0, 1, 0, 1]]
    images, partner = torch.ones(4, 3, 2, 2), torch.zeros(4, 3, 2, 2)
    drawn = beta(0.8, (4,), torch.Generator().manual_seed(3))
    lam = (drawn + torch.tensor([0.5, 0.01, 0.99, 0.5])) % 1
    out, targets = UniMix(COUNTS)(images, own, torch.Generator().manual_seed(3), (partner, other))
    torch.testing.assert_close(out[:, 0, 0, 0], lam)
    torch.testing.assert_close(targets, lam[:, None] * own + (1 - lam[:, None]) * other)


def test_equal_counts_shift_lam_by_a_half():
    own = torch.eye(2)[[0, 1, 0, 1]]
    lam = (beta(0.8, (4,), torch.Generator().manual_seed(3)) + 0.5) % 1
    partner = torch.zeros(4, 3, 2, 2), own.flip(0)
    out, _ = UniMix([7, 7])(torch.ones(4, 3, 2, 2), own, torch.Generator().manual_seed(3), partner)
    torch.testing.assert_close(out[:, 0, 0, 0], lam)


def test_alpha():
    with pytest.raises(ValueError, match="alpha 0"):
        UniMix(COUNTS, alpha=0)
