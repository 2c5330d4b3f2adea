import pytest
import torch

from lt_calib.measure.per_class import per_class


def test_by_hand():
    probs = torch.tensor([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.2, 0.8, 0.0]])
    table = per_class(probs, torch.tensor([0, 1, 1]))
    assert table["count"] == [1, 2, 0]
    assert table["acc"] == [1, 0.5, None]
    assert table["confidence"] == pytest.approx([0.9, 0.7, None])
    assert table["overconf"] == pytest.approx([-0.1, 0.2, None])
    assert table["ece"] == pytest.approx([0.1, 0.5 * 0.6 + 0.5 * 0.2, None])
