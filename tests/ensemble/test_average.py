"""Averages by hand."""

import math

import pytest
import torch

from lt_calib.ensemble.average import Average, disagreement
from lt_calib.errors import InputError

P = torch.tensor([[[0.8, 0.2], [0.2, 0.8]], [[0.6, 0.4], [0.6, 0.4]]])  # two images, two models


def test_averages_by_hand():
    """Probabilities: (0.5, 0.5) and (0.6, 0.4); logits: the geometric means sqrt(0.8 0.2) = 0.4 each, so 0.5 again."""
    torch.testing.assert_close(Average("probabilities")(P.log()).exp(), torch.tensor([[0.5, 0.5], [0.6, 0.4]]))
    logits = torch.tensor([[[0.9, 0.1], [0.5, 0.5]]]).log()
    geometric = torch.tensor([[math.sqrt(0.45), math.sqrt(0.05)]])
    torch.testing.assert_close(torch.softmax(Average("logits")(logits), 1), geometric / geometric.sum())
    torch.testing.assert_close(Average("probabilities")(logits).exp(), torch.tensor([[0.7, 0.3]]))
    with pytest.raises(InputError, match="--of median must be one of probabilities, logits"):
        Average("median")


def test_disagreement_by_hand():
    """log 2 - H(0.8, 0.2) of the first image; 0 where all say the same; at most log M."""
    entropy = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2))
    torch.testing.assert_close(disagreement(P.log()), torch.tensor([math.log(2) - entropy, 0.0]))
    sure = torch.tensor([[[0.0, -1e9], [-1e9, 0.0]]])
    torch.testing.assert_close(disagreement(sure), torch.tensor([math.log(2)]))
