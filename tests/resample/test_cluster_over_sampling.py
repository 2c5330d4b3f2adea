import torch

from lt_calib.resample.cluster_over_sampling import cluster_over_sampling


def test_clusters_of_a_class_end_equally_large():
    # Class 0: clusters of 6 and 2 around 0 and 100; class 1: one picture.
    images = torch.cat([torch.rand(6, 2), torch.rand(2, 2) + 100, torch.rand(1, 2) + 50])
    targets = torch.tensor([0] * 8 + [1])
    out, labels = cluster_over_sampling(images, targets, seed=0, clusters=2)
    assert torch.bincount(labels).tolist() == [12, 12]
    first = out[labels == 0]
    assert int((first[:, 0] > 50).sum()) == 6
    assert len(torch.unique(out, dim=0)) == 9  # copies only
