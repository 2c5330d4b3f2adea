import pytest
import torch

from lt_calib.metric.ece import expected_calibration_error
from lt_calib.metric.overconf import over_confidence


def test_by_hand_and_sign():
    probs = torch.tensor([[0.9, 0.1], [0.7, 0.3]])
    assert float(over_confidence(probs, torch.tensor([0, 1]))) == pytest.approx(0.8 - 0.5)
    assert float(over_confidence(probs, torch.tensor([0, 0]))) == pytest.approx(0.8 - 1)


def test_not_above_the_ece(case):
    assert abs(float(over_confidence(*case))) <= float(expected_calibration_error(*case)) + 1e-6
