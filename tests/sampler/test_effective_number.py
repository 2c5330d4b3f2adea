import pytest
import torch

from lt_calib.sampler.effective_number import EffectiveNumber

TARGETS = torch.repeat_interleave(torch.arange(3), torch.tensor([3, 2, 1]))


def prior(beta):
    return EffectiveNumber(TARGETS, num_classes=3, seed=0, beta=beta).prior.tolist()


def test_prior_by_hand_and_limits():
    raw = [3 * 4 / 7, 2 * 2 / 3, 1.0]  # beta = 1/2: n / E, E = 7/4, 3/2, 1
    assert prior(0.5) == pytest.approx([x / sum(raw) for x in raw])
    assert prior(0.0) == pytest.approx([1 / 2, 1 / 3, 1 / 6])
    assert prior(1 - 1e-9) == pytest.approx([1 / 3] * 3, rel=1e-5)
    with pytest.raises(ValueError, match="beta 1"):
        prior(1.0)
