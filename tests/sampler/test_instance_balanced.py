import torch

from lt_calib.sampler.instance_balanced import InstanceBalanced

TARGETS = torch.tensor([0] * 12 + [1] * 6 + [2] * 2)


def test_a_permutation_and_its_prior():
    sampler = InstanceBalanced(TARGETS, num_classes=3, seed=0)
    assert sorted(sampler) == list(range(20))
    assert sampler.prior.tolist() == [0.6, 0.3, 0.1]
