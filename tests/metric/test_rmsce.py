import pytest
import torch

from lt_calib.metric.ece import expected_calibration_error
from lt_calib.metric.rmsce import root_mean_square_calibration_error
from tests.metric.slow import binned


def test_by_hand():
    probs = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    wanted = (2 / 3 * 0.4**2 + 1 / 3 * 0.4**2) ** 0.5
    assert float(root_mean_square_calibration_error(probs, torch.tensor([0, 1, 0]))) == pytest.approx(wanted, abs=1e-6)


def test_slow_twin(rows):
    probs, targets = rows
    wanted = sum(w * gap**2 for w, gap, *_ in binned(probs, targets)) ** 0.5
    got = root_mean_square_calibration_error(torch.from_numpy(probs), torch.from_numpy(targets))
    assert float(got) == pytest.approx(wanted, abs=1e-6)


def test_not_below_the_ece(case):
    assert float(root_mean_square_calibration_error(*case)) >= float(expected_calibration_error(*case)) - 1e-6
