import numpy as np
import pytest
import torch

from lt_calib.metric.ace import adaptive_calibration_error, equal_mass_bins


def test_by_hand():
    # Four confidences in two bins of two: {0.6, 0.7} with one right, {0.8, 0.9} with two right.
    first = torch.tensor([0.9, 0.6, 0.8, 0.7])
    probs = torch.stack([first, 1 - first], dim=1)
    wanted = 0.5 * abs(0.5 - 0.65) + 0.5 * abs(1 - 0.85)
    assert float(adaptive_calibration_error(probs, torch.tensor([0, 1, 0, 0]), 2)) == pytest.approx(wanted, abs=1e-6)


def test_bins_are_equal_where_no_two_are_equal():
    probs = torch.softmax(torch.randn(1000, 7), dim=1)
    counts = equal_mass_bins(probs, torch.zeros(1000, dtype=torch.int64)).count
    assert set(counts.tolist()) <= {66.0, 67.0}


def test_slow_twin(rows):
    probs, targets = rows
    confidence = probs.max(1)
    groups: dict[int, list[int]] = {}
    for i, c in enumerate(confidence):
        groups.setdefault(sum(confidence < c) * 15 // len(probs), []).append(i)
    wanted = sum(
        len(g) / len(probs) * abs(np.mean(probs[g].argmax(1) == targets[g]) - np.mean(confidence[g].astype(float)))
        for g in groups.values()
    )
    got = adaptive_calibration_error(torch.from_numpy(probs), torch.from_numpy(targets))
    assert float(got) == pytest.approx(wanted, abs=1e-6)
