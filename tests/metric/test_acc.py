import torch

from lt_calib.metric.acc import accuracy


def test_by_hand():
    probs = torch.tensor([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1], [0.2, 0.8]])
    assert float(accuracy(probs, torch.tensor([0, 1, 1, 1]))) == 0.75
