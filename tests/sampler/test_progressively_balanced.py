import pytest
import torch

from lt_calib.sampler.progressively_balanced import ProgressivelyBalanced


def test_from_instance_balanced_towards_class_balanced():
    targets = torch.repeat_interleave(torch.arange(2), torch.tensor([9, 1]))
    sampler = ProgressivelyBalanced(targets, num_classes=2, seed=0, max_epochs=10)
    priors = []
    for epoch in (0, 5, 10):
        sampler.set_epoch(epoch)
        priors.append(sampler.prior.tolist())
    assert priors[0] == pytest.approx([0.9, 0.1])
    assert priors[1] == pytest.approx([0.7, 0.3])
    assert priors[2] == pytest.approx([0.5, 0.5])
