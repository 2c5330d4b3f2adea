import numpy as np
import pytest
import torch

from lt_calib.metric.ece import expected_calibration_error
from lt_calib.metric.ece_floor import calibration_error_floor


def test_by_hand_one_picture():
    """One picture of confidence 0.7 scores 0.3 with probability 0.7 and 0.7 with probability 0.3."""
    floor = calibration_error_floor(torch.tensor([[0.7, 0.3]]), torch.tensor([0]), draws=20_000)
    assert float(floor.mean) == pytest.approx(0.7 * 0.3 + 0.3 * 0.7, abs=0.01)
    assert float(floor.q95) == pytest.approx(0.7)
    sure = calibration_error_floor(torch.tensor([[1.0, 0.0]]), torch.tensor([1]))
    assert (float(sure.mean), float(sure.q95)) == (0, 0)


def test_slow_twin_draws_labels_and_measures_their_ece():
    draws = torch.Generator().manual_seed(0)
    probs = torch.softmax(2 * torch.randn(200, 4, generator=draws), dim=1)
    errors = [
        float(expected_calibration_error(probs, torch.multinomial(probs, 1, generator=draws)[:, 0]))
        for _ in range(2000)
    ]
    floor = calibration_error_floor(probs, torch.zeros(200, dtype=torch.int64), draws=2000)
    assert float(floor.mean) == pytest.approx(np.mean(errors), abs=4 * np.std(errors) / 2000**0.5)
    assert float(floor.q95) == pytest.approx(np.quantile(errors, 0.95), abs=0.005)


def test_about_five_percent_of_calibrated_models_exceed_the_quantile():
    draws = torch.Generator().manual_seed(1)
    above, models = 0, 400
    for _ in range(models):
        probs = torch.softmax(2 * torch.randn(150, 5, generator=draws), dim=1)
        targets = torch.multinomial(probs, 1, generator=draws)[:, 0]
        above += bool(
            expected_calibration_error(probs, targets) > calibration_error_floor(probs, targets, draws=200).q95
        )
    sd = (0.05 * 0.95 / models) ** 0.5
    assert abs(above / models - 0.05) < 3 * sd


def test_the_same_predictions_have_the_same_floor_and_global_state_stays():
    probs, targets = torch.softmax(torch.randn(50, 3), dim=1), torch.arange(50) % 3
    state = torch.get_rng_state()
    one, two = calibration_error_floor(probs, targets), calibration_error_floor(probs.flip(0), targets)
    assert one == two
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="draws 0"):
        calibration_error_floor(probs, targets, draws=0)
