import pytest
import torch

from lt_calib.metric.f1_macro import macro_f1


def test_by_hand():
    predicted, targets = torch.tensor([0, 0, 0, 1, 1, 3]), torch.tensor([0, 0, 1, 1, 2, 2])
    # class 0: precision 2/3, recall 1; class 1: 1/2 and 1/2; class 2: 0; class 3 has no image
    assert float(macro_f1(torch.eye(4)[predicted], targets)) == pytest.approx((0.8 + 0.5 + 0) / 3)
