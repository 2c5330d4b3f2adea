import numpy as np
import pytest
import torch

from lt_calib.metric.cece import classwise_calibration_error


def test_by_hand():
    probs = torch.tensor([[0.9, 0.1], [0.9, 0.1]])
    # Class 0: |1/2 - 0.9|; class 1: |1/2 - 0.1|.
    assert float(classwise_calibration_error(probs, torch.tensor([0, 1]))) == pytest.approx(0.4, abs=1e-6)
    assert float(classwise_calibration_error(probs, torch.tensor([0, 0]))) == pytest.approx(0.1, abs=1e-6)


def test_slow_twin(rows):
    probs, targets = rows
    n, k = probs.shape
    edges = [np.float32(i) / np.float32(15) for i in range(16)]
    total = 0.0
    for c in range(k):
        for b in range(15):
            low, high = (-1 if b == 0 else edges[b]), (2 if b == 14 else edges[b + 1])
            inside = [i for i in range(n) if low < probs[i, c] <= high]
            if inside:
                frequency = np.mean(targets[inside] == c)
                total += len(inside) / n * abs(frequency - np.mean(probs[inside, c].astype(float))) / k
    got = classwise_calibration_error(torch.from_numpy(probs), torch.from_numpy(targets))
    assert float(got) == pytest.approx(total, abs=1e-6)
