import math

import pytest
import torch

from lt_calib.metric.nll import negative_log_likelihood


def test_by_hand():
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])
    wanted = (-math.log(3 / 4) - math.log(1 / 2)) / 2
    assert float(negative_log_likelihood(logits, torch.tensor([0, 1]))) == pytest.approx(wanted)


def test_a_probability_that_would_round_to_zero():
    logits = torch.tensor([[0.0, 300.0]])
    assert float(negative_log_likelihood(logits, torch.tensor([0]))) == pytest.approx(300)
