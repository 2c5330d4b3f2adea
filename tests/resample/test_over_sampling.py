import torch

from lt_calib.resample.over_sampling import over_sampling


def test_every_class_has_n_max_copies_of_its_own_pictures():
    targets = torch.repeat_interleave(torch.arange(3), torch.tensor([9, 4, 1]))
    images = torch.arange(14, dtype=torch.uint8)[:, None].expand(-1, 3).contiguous()
    out, labels = over_sampling(images, targets, seed=0)
    assert torch.bincount(labels).tolist() == [9, 9, 9]
    assert set(out[:, 0].tolist()) == set(range(14))
    assert torch.equal(targets[out[:, 0].long()], labels)
