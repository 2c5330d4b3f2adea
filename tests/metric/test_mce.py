import pytest
import torch

from lt_calib.metric.mce import maximum_calibration_error


def test_by_hand():
    probs = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    assert float(maximum_calibration_error(probs, torch.tensor([0, 1, 0]))) == pytest.approx(0.4, abs=1e-6)
