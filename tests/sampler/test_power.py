import pytest
import torch

from lt_calib.sampler.power import Power


def test_prior_by_hand_and_limits():
    targets = torch.repeat_interleave(torch.arange(3), torch.tensor([16, 4, 1]))

    def prior(tau):
        return Power(targets, num_classes=3, seed=0, tau=tau).prior.tolist()

    assert prior(-0.5) == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    assert prior(0.0) == pytest.approx([16 / 21, 4 / 21, 1 / 21])
    assert prior(-1.0) == pytest.approx([1 / 3] * 3)
