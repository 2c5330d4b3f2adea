import pytest
import torch

from lt_calib.metric.brier import brier_score


def test_by_hand_and_range():
    probs = torch.tensor([[0.7, 0.2, 0.1]])
    assert float(brier_score(probs, torch.tensor([0]))) == pytest.approx(0.09 + 0.04 + 0.01)
    worst = torch.tensor([[1.0, 0.0]])
    assert float(brier_score(worst, torch.tensor([1]))) == 2
    assert float(brier_score(worst, torch.tensor([0]))) == 0
    with pytest.raises(ValueError, match="softmax"):
        brier_score(torch.tensor([[3.0, 1.0]]), torch.tensor([0]))
