import itertools

import numpy as np
import pytest
import torch

from lt_calib.metric.aurc import area_under_risk_coverage, risk_coverage


def test_by_hand():
    first = torch.tensor([0.9, 0.6, 0.8])
    probs = torch.stack([first, 1 - first], dim=1)
    # By confidence: right, wrong, right: risks 0, 1/2, 1/3.
    curve = risk_coverage(probs, torch.tensor([0, 0, 1]))
    assert curve.coverage.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert curve.risk.tolist() == pytest.approx([0, 1 / 2, 1 / 3])
    assert float(area_under_risk_coverage(probs, torch.tensor([0, 0, 1]))) == pytest.approx((1 / 2 + 1 / 3) / 3)


def test_equal_confidences_are_the_mean_over_their_orders():
    first = torch.tensor([0.9, 0.6, 0.6, 0.6])
    probs = torch.stack([first, 1 - first], dim=1)
    targets = torch.tensor([1, 0, 1, 1])
    wrong = [1, 0, 1, 1]
    orders = [[0, *tail] for tail in itertools.permutations([1, 2, 3])]
    each = [np.mean(np.cumsum([wrong[i] for i in order]) / [1, 2, 3, 4]) for order in orders]
    assert float(area_under_risk_coverage(probs, targets)) == pytest.approx(np.mean(each))


def test_slow_twin_where_no_two_are_equal():
    probs, targets = torch.softmax(torch.randn(100, 5), dim=1), torch.arange(100) % 5
    rows = sorted(range(100), key=lambda i: -float(probs[i].max()))
    wrong = [int(probs[i].argmax()) != int(targets[i]) for i in rows]
    wanted = np.mean([sum(wrong[: i + 1]) / (i + 1) for i in range(100)])
    assert float(area_under_risk_coverage(probs, targets)) == pytest.approx(wanted)
