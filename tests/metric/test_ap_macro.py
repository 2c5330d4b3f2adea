import math

import pytest
import torch

from lt_calib.metric.ap_macro import macro_average_precision


def test_by_hand():
    first = torch.tensor([0.9, 0.8, 0.7, 0.6])
    targets = torch.tensor([0, 1, 0, 1])
    # class 0 from the highest: found at ranks 1 and 3, (1/1 + 2/3) / 2; class 1 from its highest: ranks 1 and 3 as well
    assert float(macro_average_precision(torch.stack([first, 1 - first], 1), targets)) == pytest.approx((1 + 2 / 3) / 2)


def test_a_single_class_has_no_rest():
    assert math.isnan(float(macro_average_precision(torch.tensor([[0.7, 0.3]]), torch.tensor([0]))))
