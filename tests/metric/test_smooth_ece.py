import numpy as np
import pytest
import torch
from scipy.stats import norm

from lt_calib.metric.smooth_ece import smooth_calibration_error, smoothed_error, spread


def two_classes(confidence: np.ndarray, right: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions of class 0 with these confidences, 1 - c where c is below 1/2."""
    p = torch.from_numpy(confidence).float()
    return torch.stack([p, 1 - p], 1), torch.from_numpy(np.where(right, 0, 1))


def sample() -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.RandomState(0)
    confidence = np.round(draws.beta(4, 1.5, 400), 3)
    return confidence, draws.rand(400) < confidence**1.5


def test_at_one_width_it_is_the_integral():
    """The slow twin: the kernel with its images at 2 k - f and 2 k + f, summed over a fine grid."""
    confidence, right = sample()
    cells = spread(torch.from_numpy(confidence), torch.from_numpy(right - confidence))
    t = (np.arange(4000) + 0.5) / 4000
    for width in (0.01, 0.05, 0.3):
        r = np.zeros(4000)
        for f, y in zip(confidence, right, strict=True):
            kernel = sum(norm.pdf(t, 2 * k + s * f, width) for k in (-1, 0, 1) for s in (1, -1))
            r += (y - f) * kernel / 400
        assert smoothed_error(cells, width) == pytest.approx(np.abs(r).mean(), rel=1e-3)


def test_it_is_the_authors_own():
    """What relplot 1.0.3 finds of these to 0.5 %: it adds 1e-4 to the density, and divides by its sum."""
    confidence, right = sample()
    cells = spread(torch.from_numpy(confidence), torch.from_numpy(right - confidence))
    assert smoothed_error(cells, 0.05) == pytest.approx(0.089871, rel=5e-3)
    keep = confidence >= 0.5  # below, the other class would be predicted
    probs, targets = two_classes(confidence[keep], right[keep])
    few = spread(torch.from_numpy(confidence[keep]), torch.from_numpy((right - confidence)[keep]))
    found = float(smooth_calibration_error(probs, targets))
    assert smoothed_error(few, found) == pytest.approx(found, abs=1e-4)


def test_by_hand():
    """All at confidence 0.75, half of them right: a gap of 0.25 at one place, however smooth."""
    probs, targets = two_classes(np.full(200, 0.75), np.arange(200) % 2 == 0)
    assert float(smooth_calibration_error(probs, targets)) == pytest.approx(0.25, abs=1e-3)
    sure = torch.eye(2)[torch.zeros(10, dtype=torch.long)]
    assert float(smooth_calibration_error(sure, torch.zeros(10, dtype=torch.long))) == 0.0
    assert float(smooth_calibration_error(sure, torch.ones(10, dtype=torch.long))) == pytest.approx(1.0, abs=1e-3)
