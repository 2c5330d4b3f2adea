import torch

from lt_calib.resample.under_sampling import under_sampling


def test_every_class_keeps_n_min_of_its_own_pictures():
    targets = torch.repeat_interleave(torch.arange(3), torch.tensor([9, 4, 2]))
    images = torch.arange(15, dtype=torch.uint8)[:, None].expand(-1, 3).contiguous()
    out, labels = under_sampling(images, targets, seed=0)
    assert torch.bincount(labels).tolist() == [2, 2, 2]
    assert len(set(out[:, 0].tolist())) == 6
    assert torch.equal(targets[out[:, 0].long()], labels)
