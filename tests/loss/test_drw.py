import math
from typing import Any

import pytest
import torch

from lt_calib.loss.cross_entropy import CrossEntropy
from lt_calib.loss.drw import DRW
from lt_calib.loss.ldam import LDAM
from lt_calib.loss.weights import class_balanced_weights

COUNTS = [50, 5, 1]


@pytest.mark.parametrize(("max_epochs", "first"), [(200, 160), (30, 24), (10, 8)])
def test_weights_start_at_the_epoch(max_epochs, first):
    loss = DRW(COUNTS, loss=LDAM, max_epochs=max_epochs)
    assert loss.loss.weights.tolist() == [1, 1, 1]
    loss.set_epoch(first - 1)
    assert loss.loss.weights.tolist() == [1, 1, 1]
    loss.set_epoch(first)
    torch.testing.assert_close(loss.loss.weights, class_balanced_weights(COUNTS, 0.9999).float())
    loss.set_epoch(0)
    assert loss.loss.weights.tolist() == [1, 1, 1]


def test_weights_are_a_weighted_mean_and_not_multiplied_into_a_mean():
    logits, targets = torch.randn(12, 3), torch.arange(12) % 3
    loss = DRW(COUNTS, loss=CrossEntropy, max_epochs=10)
    loss.set_epoch(9)
    weights = class_balanced_weights(COUNTS, 0.9999).float()
    torch.testing.assert_close(
        loss(logits, targets), torch.nn.functional.cross_entropy(logits, targets, weight=weights)
    )


def test_divided_by_the_batch_size():
    """w = (0.8, 1.2) of n = (2, 1), beta = 1/2: 2.8 / 3 of the plain loss of three images, from the epoch on."""
    targets = torch.tensor([0, 0, 1])
    loss = DRW([2, 1], loss=CrossEntropy, max_epochs=10, beta=0.5, normalizer="batch")
    assert float(loss(torch.zeros(3, 2), targets)) == pytest.approx(math.log(2))
    loss.set_epoch(8)
    assert float(loss(torch.zeros(3, 2), targets)) == pytest.approx(2.8 / 3 * math.log(2))


def test_a_stage_that_was_killed_before_there_was_a_normalizer_goes_on():
    state = DRW(COUNTS, loss=CrossEntropy, max_epochs=10).state_dict()
    assert set(state) == {"deferred", "loss.weights", "loss.d", "loss.r", "loss.v", "loss.log_prior"}


def test_beta_zero_is_the_plain_loss_in_every_epoch():
    logits, targets = torch.randn(12, 3), torch.arange(12) % 3
    loss = DRW(COUNTS, loss=CrossEntropy, max_epochs=10, beta=0.0)
    loss.set_epoch(9)
    torch.testing.assert_close(loss(logits, targets), CrossEntropy(COUNTS)(logits, targets))


def test_a_loss_that_sets_its_weights_itself_is_refused():
    def wrapped(counts: Any, prior: Any) -> Any:
        return DRW(counts, loss=CrossEntropy, max_epochs=10, prior=prior)

    with pytest.raises(ValueError, match="DRW sets its class weights itself"):
        DRW(COUNTS, loss=wrapped, max_epochs=10)


def test_bad_start():
    with pytest.raises(ValueError, match=r"start 1.5"):
        DRW(COUNTS, loss=CrossEntropy, max_epochs=10, start=1.5)
