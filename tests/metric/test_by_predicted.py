"""Confidence and accuracy of what is predicted as a class."""

import pytest
import torch

from lt_calib.measure.by_predicted import by_predicted

GROUPS = {"head": [0], "medium": [], "tail": [1, 2]}


def test_by_hand():
    """Class 0 is predicted three times at 0.8 on average and right twice; class 1 once; class 2 never."""
    probs = torch.tensor([[0.9, 0.1, 0.0], [0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.2, 0.6, 0.2]])
    found = by_predicted(probs, torch.tensor([0, 0, 2, 1]), GROUPS)
    first = found["classes"][0]
    assert (first["count"], first["confidence"], first["acc"]) == (3, pytest.approx(0.8), pytest.approx(2 / 3))
    assert first["low"] == pytest.approx(0.094, abs=1e-3)  # Clopper and Pearson's of 2 of 3
    assert first["high"] == pytest.approx(0.992, abs=1e-3)
    assert found["classes"][2] == {"count": 0, "confidence": None, "acc": None, "low": None, "high": None}
    assert set(found["groups"]) == {"head", "tail"}
    assert found["groups"]["tail"]["count"] == 1


def test_of_a_calibrated_model_the_interval_holds_the_confidence():
    """Of 200 calibrated models of 100 images, of each class 95 % or more; by true class it would not."""
    draws, inside, total = torch.Generator().manual_seed(0), 0, 0
    for _ in range(200):
        probs = torch.softmax(2 * torch.randn(100, 3, generator=draws), 1)
        targets = torch.multinomial(probs, 1, generator=draws)[:, 0]
        for row in by_predicted(probs, targets, GROUPS)["classes"]:
            inside += row["low"] <= row["confidence"] <= row["high"]
            total += 1
    assert inside / total >= 0.94
