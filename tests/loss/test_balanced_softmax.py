import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lt_calib.loss.balanced_softmax import BalancedSoftmax


def test_by_hand():
    # Equal logits, counts 3 and 1: p = (3/4, 1/4).
    loss = BalancedSoftmax([3, 1])
    logits = torch.zeros(1, 2)
    assert float(loss(logits, torch.tensor([0]))) == pytest.approx(-math.log(3 / 4))
    assert float(loss(logits, torch.tensor([1]))) == pytest.approx(-math.log(1 / 4))


def slow(logits, targets, counts):
    total = 0.0
    for z, t in zip(logits, targets, strict=True):
        e = [n * math.exp(x) for n, x in zip(counts, z, strict=True)]
        total -= sum(t[c] * math.log(e[c] / sum(e)) for c in range(len(e)))
    return total / np.sum(targets)


def test_slow_twin():
    rng = np.random.default_rng(0)
    logits, targets, counts = rng.normal(size=(20, 4)), rng.dirichlet(np.ones(4), 20), [40, 9, 3, 1]
    got = BalancedSoftmax(counts)(torch.tensor(logits), torch.tensor(targets))
    assert float(got) == pytest.approx(slow(logits, targets, counts), rel=1e-5)


def test_equal_counts_are_cross_entropy():
    logits, targets = torch.randn(8, 3), torch.randint(3, (8,))
    torch.testing.assert_close(BalancedSoftmax([5, 5, 5])(logits, targets), F.cross_entropy(logits, targets))


def test_a_given_prior_replaces_the_counts():
    logits, targets = torch.randn(8, 3), torch.randint(3, (8,))
    uniform = BalancedSoftmax([90, 9, 1], prior=torch.ones(3) / 3)
    torch.testing.assert_close(uniform(logits, targets), F.cross_entropy(logits, targets))


def test_empty_class():
    with pytest.raises(ValueError, match="class_counts"):
        BalancedSoftmax([3, 0])
