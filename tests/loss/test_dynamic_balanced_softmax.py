import pytest
import torch
import torch.nn.functional as F

from lt_calib.loss.balanced_softmax import BalancedSoftmax
from lt_calib.loss.dynamic_balanced_softmax import DynamicBalancedSoftmax

COUNTS = [6, 3, 1]


def test_momentum_one_is_balanced_softmax():
    logits, targets = torch.randn(12, 3), torch.arange(12) % 3
    loss = DynamicBalancedSoftmax(COUNTS, momentum=1.0)
    for _ in range(3):
        torch.testing.assert_close(loss(logits, targets), BalancedSoftmax(COUNTS)(logits, targets))


def test_the_estimate_by_hand():
    loss = DynamicBalancedSoftmax(COUNTS, momentum=0.9)
    soft = torch.tensor([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
    loss(torch.randn(2, 3), soft)
    assert loss.estimate.tolist() == pytest.approx([0.54 + 0.025, 0.27 + 0.075, 0.09])
    loss(torch.randn(1, 3), torch.tensor([2]))
    assert loss.estimate.tolist() == pytest.approx([0.9 * 0.565, 0.9 * 0.345, 0.081 + 0.1])


def test_it_finds_what_mixing_draws():
    loss = DynamicBalancedSoftmax(COUNTS, momentum=0.99)
    draws = torch.Generator().manual_seed(0)
    drawn = torch.tensor([0.2, 0.3, 0.5])
    for _ in range(2000):
        loss(torch.zeros(64, 3), torch.multinomial(drawn, 64, replacement=True, generator=draws))
    assert torch.allclose(loss.estimate, drawn, atol=0.02)


def test_evaluation_does_not_move_it():
    loss = DynamicBalancedSoftmax(COUNTS).eval()
    before = loss.estimate.clone()
    loss(torch.randn(4, 3), torch.zeros(4, dtype=torch.int64))
    assert torch.equal(loss.estimate, before)


def test_a_class_that_is_never_seen_stays_finite():
    loss = DynamicBalancedSoftmax(COUNTS, momentum=0.0)
    one_hot = F.one_hot(torch.zeros(8, dtype=torch.int64), 3).float()  # as mixing makes them
    for _ in range(3):
        assert bool(torch.isfinite(loss(torch.randn(8, 3), one_hot)))
    assert loss.estimate.tolist() == [1, 0, 0]


def test_the_loss_corrects_by_the_estimate_of_before_the_batch():
    logits, soft = torch.randn(8, 3), torch.softmax(torch.randn(8, 3), 1)
    loss = DynamicBalancedSoftmax(COUNTS, momentum=0.3)
    for _ in range(3):
        before = loss.estimate.clone()
        torch.testing.assert_close(loss(logits, soft), BalancedSoftmax(COUNTS, prior=before)(logits, soft))
