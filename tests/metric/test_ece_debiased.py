import pytest
import torch
from scipy.stats import foldnorm

from lt_calib.metric.ece import expected_calibration_error
from lt_calib.metric.ece_debiased import debiased_calibration_error
from tests.metric.slow import binned


def test_slow_twin(rows):
    probs, targets = rows
    total = 0.0
    for weight, gap, accuracy, count in binned(probs, targets):
        sd = (accuracy * (1 - accuracy) / count) ** 0.5
        folded = foldnorm(abs(gap) / sd, scale=sd).mean() if sd > 0 else abs(gap)
        total += weight * (2 * abs(gap) - folded)
    got = debiased_calibration_error(torch.from_numpy(probs), torch.from_numpy(targets))
    assert float(got) == pytest.approx(max(0.0, total), abs=1e-6)


def simulated(seed: int, shift: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Confidences that are too high by ``shift``."""
    draws = torch.Generator().manual_seed(seed)
    truth = 0.55 + 0.25 * torch.rand(2000, generator=draws)
    targets = (torch.rand(2000, generator=draws) > truth).long()
    claimed = truth + shift
    return torch.stack([claimed, 1 - claimed], dim=1), targets


def test_near_calibration_it_is_smaller_and_far_from_it_the_truth():
    near = [
        (expected_calibration_error(*s), debiased_calibration_error(*s)) for s in (simulated(i, 0) for i in range(50))
    ]
    plain, debiased = (float(torch.stack(x).mean()) for x in zip(*near, strict=True))
    assert debiased < 0.75 * plain
    far = torch.stack([debiased_calibration_error(*simulated(i, 0.15)) for i in range(50)])
    assert float(far.mean()) == pytest.approx(0.15, abs=0.005)
