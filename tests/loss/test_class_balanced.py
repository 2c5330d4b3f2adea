import functools

import pytest
import torch
import torch.nn.functional as F

from lt_calib.loss.class_balanced import ClassBalanced
from lt_calib.loss.cross_entropy import CrossEntropy
from lt_calib.loss.focal import Focal
from lt_calib.loss.weights import class_balanced_weights


def test_weights_by_hand():
    # beta = 1/2: 1 / E = (1/2) / (1 - (1/2)^n) = 1, 2/3 and 4/7 for n = 1, 2, 3.
    raw = [4 / 7, 2 / 3, 1.0]
    assert class_balanced_weights([3, 2, 1], 0.5).tolist() == pytest.approx([3 * x / sum(raw) for x in raw])


def test_limits_of_beta():
    assert class_balanced_weights([9, 3, 1], 0.0).tolist() == [1, 1, 1]
    near_one = class_balanced_weights([9, 3, 1], 1 - 1e-9)
    assert (near_one / near_one[0]).tolist() == pytest.approx([1, 3, 9], rel=1e-5)
    with pytest.raises(ValueError, match="beta 1"):
        class_balanced_weights([2, 1], 1.0)


@pytest.mark.parametrize("inner", [CrossEntropy, functools.partial(Focal, gamma=2.0)])
def test_it_is_the_weighted_mean_of_the_inner_loss(inner):
    counts = [50, 5, 1]
    logits, targets = torch.randn(12, 3), torch.arange(12) % 3
    each = torch.stack([inner(counts)(logits[i : i + 1], targets[i : i + 1]) for i in range(12)])
    w = class_balanced_weights(counts, 0.99).float()[targets]
    got = ClassBalanced(counts, loss=inner, beta=0.99)(logits, targets)
    torch.testing.assert_close(got, (w * each).sum() / w.sum())


def test_beta_zero_is_the_inner_loss():
    logits, targets = torch.randn(12, 3), torch.arange(12) % 3
    got = ClassBalanced([50, 5, 1], loss=CrossEntropy, beta=0.0)(logits, targets)
    torch.testing.assert_close(got, F.cross_entropy(logits, targets))
