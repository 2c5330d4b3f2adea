import math

import pytest
import torch
import torch.nn.functional as F

from lt_calib.loss.weighted_cross_entropy import WeightedCrossEntropy


def test_weights_by_hand_and_torchs_weighted_mean():
    loss = WeightedCrossEntropy([8, 4, 2])
    assert loss.weights.tolist() == pytest.approx([0.25, 0.5, 1.0])
    logits, targets = torch.randn(12, 3), torch.arange(12) % 3
    torch.testing.assert_close(loss(logits, targets), F.cross_entropy(logits, targets, weight=loss.weights))


def test_gamma_zero_is_cross_entropy():
    logits, targets = torch.randn(12, 3), torch.arange(12) % 3
    got = WeightedCrossEntropy([8, 4, 2], gamma=0.0)(logits, targets)
    torch.testing.assert_close(got, F.cross_entropy(logits, targets))


def test_two_classes():
    # alpha = n_min / n_max = 1/2 on the positive class y = 0: (1/2 a + b) / (1/2 + 1) for one picture of each.
    logits = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])
    a, b = -math.log(3 / 4), -math.log(1 / 4)
    got = WeightedCrossEntropy([20, 10])(logits, torch.tensor([0, 1]))
    assert float(got) == pytest.approx((0.5 * a + b) / 1.5)
    by_batch = WeightedCrossEntropy([20, 10], normalizer="batch")(logits, torch.tensor([0, 1]))
    assert float(by_batch) == pytest.approx((0.5 * a + b) / 2)
    with pytest.raises(ValueError, match="gamma -1"):
        WeightedCrossEntropy([2, 1], gamma=-1)
