import pytest
import torch

from lt_calib.resample.smote import smote


def test_new_points_lie_between_neighbors_of_the_class():
    targets = torch.tensor([0] * 8 + [1] * 3)
    line = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    images = torch.cat([torch.rand(8, 2) + 50, line])
    out, labels = smote(images, targets, seed=0)
    assert torch.bincount(labels).tolist() == [8, 8]
    assert torch.equal(out[:11], images)
    new = out[11:]
    assert bool((new[:, 1] == 0).all())
    assert bool(((new[:, 0] >= 0) & (new[:, 0] <= 2)).all())
    assert len(torch.unique(new[:, 0])) == 5


def test_a_class_of_one_and_of_two_pictures():
    targets = torch.tensor([0] * 6 + [1] * 2 + [2])
    images = torch.rand(9, 4)
    out, labels = smote(images, targets, seed=0)
    assert torch.bincount(labels).tolist() == [6, 6, 6]
    assert torch.equal(torch.unique(out[labels == 2], dim=0), images[8:])  # copies
    with pytest.raises(ValueError, match="neighbors 0"):
        smote(images, targets, seed=0, neighbors=0)
