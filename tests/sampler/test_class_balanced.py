import torch

from lt_calib.sampler.class_balanced import ClassBalanced


def test_a_missing_class_is_never_drawn():
    sampler = ClassBalanced(torch.tensor([0, 0, 2]), num_classes=3, seed=0)
    assert sampler.prior.tolist() == [0.5, 0, 0.5]
    assert set(sampler) <= {0, 1, 2}


def test_pictures_of_a_class_are_equally_likely():
    targets = torch.tensor([0] * 4 + [1])
    drawn = torch.zeros(5)
    sampler = ClassBalanced(targets, num_classes=2, seed=0)
    for epoch in range(2000):
        sampler.set_epoch(epoch)
        drawn += torch.bincount(torch.tensor(list(sampler)), minlength=5)
    assert torch.allclose(drawn / drawn.sum(), torch.tensor([1 / 8] * 4 + [1 / 2]), atol=0.02)
