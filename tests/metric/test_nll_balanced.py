import math

import torch

from lt_calib.metric.nll import negative_log_likelihood
from lt_calib.metric.nll_balanced import balanced_nll


def test_by_hand():
    probs = torch.tensor([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0], [0.8, 0.2, 0.0]]) + 1e-30
    targets = torch.tensor([0, 0, 1])  # class 2 has no image and does not count
    wanted = ((math.log(2) + math.log(4)) / 2 + math.log(5)) / 2
    assert math.isclose(float(balanced_nll(probs.log(), targets)), wanted, rel_tol=1e-6)


def test_on_a_balanced_set_it_is_the_nll():
    logits, targets = torch.randn(60, 5), torch.arange(60) % 5
    torch.testing.assert_close(balanced_nll(logits, targets), negative_log_likelihood(logits, targets))
