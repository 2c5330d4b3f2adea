import pytest
import torch

from lt_calib.sampler.square_root import SquareRoot


def test_prior_by_hand():
    targets = torch.repeat_interleave(torch.arange(3), torch.tensor([16, 4, 1]))
    assert SquareRoot(targets, num_classes=3, seed=0).prior.tolist() == pytest.approx([4 / 7, 2 / 7, 1 / 7])
