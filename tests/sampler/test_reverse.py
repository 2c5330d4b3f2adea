import pytest
import torch

from lt_calib.sampler.reverse import Reverse


def test_prior_by_hand_and_a_missing_class():
    targets = torch.repeat_interleave(torch.tensor([0, 1, 3]), torch.tensor([8, 4, 1]))
    sampler = Reverse(targets, num_classes=4, seed=0)
    assert sampler.prior.tolist() == pytest.approx([1 / 11, 2 / 11, 0, 8 / 11])
    assert bool(torch.isfinite(sampler.prior).all())
