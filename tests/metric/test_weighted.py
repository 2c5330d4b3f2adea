import pytest
import torch

from lt_calib.measure.weighted import effective_size, weighted_metrics
from lt_calib.metric.acc import accuracy
from lt_calib.metric.acc_balanced import balanced_accuracy
from lt_calib.metric.brier import brier_score
from lt_calib.metric.ece import expected_calibration_error
from lt_calib.metric.nll import negative_log_likelihood


def test_by_hand():
    """Two images at 0.8 for class 0, right with weight 3 and wrong with 1: accuracy 3/4, ECE |3 * 0.2 - 0.8| / 4."""
    logits = torch.tensor([[0.8, 0.2]] * 2).log()
    found = weighted_metrics(logits, torch.tensor([0, 1]), torch.tensor([3.0, 1.0]))
    assert found["acc"] == pytest.approx(0.75)
    assert found["ece"] == pytest.approx(0.05, abs=1e-6)
    assert found["nll"] == pytest.approx(-(3 * torch.tensor(0.8).log().item() + torch.tensor(0.2).log().item()) / 4)
    assert found["brier"] == pytest.approx((3 * 0.08 + 1.28) / 4, abs=1e-6)
    assert found["acc_balanced"] == 0.5
    assert effective_size(torch.tensor([3.0, 1.0])) == pytest.approx(1.6)


def test_whole_weights_are_repeated_images():
    draws = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(300, 4, generator=draws)
    targets, weights = torch.randint(4, (300,), generator=draws), torch.randint(1, 5, (300,), generator=draws)
    many, labels = logits.repeat_interleave(weights, dim=0), targets.repeat_interleave(weights)
    found, probs = weighted_metrics(logits, targets, weights), many.softmax(1)
    slow = {"acc": accuracy(probs, labels), "ece": expected_calibration_error(probs, labels)}
    slow |= {"nll": negative_log_likelihood(many, labels), "brier": brier_score(probs, labels)}
    slow["acc_balanced"] = balanced_accuracy(logits.softmax(1), targets)  # a mean over classes, without weights
    assert found == pytest.approx({name: float(value) for name, value in slow.items()}, abs=1e-6)
