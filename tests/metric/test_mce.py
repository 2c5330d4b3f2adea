import pytest
import torch

from lt_calib.metric.mce import maximum_calibration_error
from tests.metric.slow import binned


def test_by_hand():
    probs = torch.tensor([[0.9, 0.1]] * 4 + [[0.6, 0.4]])  # gaps 0.75 - 0.9 of four pictures, 1 - 0.6 of one
    assert float(maximum_calibration_error(probs, torch.tensor([0, 0, 0, 1, 0]))) == pytest.approx(0.4, abs=1e-6)


def test_slow_twin(rows):
    probs, targets = rows
    got = maximum_calibration_error(torch.from_numpy(probs), torch.from_numpy(targets))
    assert float(got) == pytest.approx(max(abs(gap) for _, gap, *_ in binned(probs, targets)), abs=1e-6)
