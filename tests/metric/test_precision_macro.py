import pytest
import torch

from lt_calib.metric.precision_macro import macro_precision


def test_by_hand():
    predicted, targets = torch.tensor([0, 0, 0, 1, 1, 3]), torch.tensor([0, 0, 1, 1, 2, 2])
    # 2 of 3 that are called 0 are, 1 of 2 that are called 1; nothing is called 2; class 3 has no image
    assert float(macro_precision(torch.eye(4)[predicted], targets)) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
