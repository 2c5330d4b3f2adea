"""Scores by hand, and how well they tell apart."""

import math

import numpy as np
import pytest
import torch

from lt_calib.errors import InputError
from lt_calib.unknown.detection import detection
from lt_calib.unknown.scores import class_means, energy, feature_distance, max_logit, unsure

LOGITS = torch.tensor([[math.log(1.0), math.log(3.0)], [0.0, 0.0]])


def test_scores_by_hand():
    """-log 3 and 0; -log(1 + 3) and -log 2; 1 - 3/4 and 1 - 1/2."""
    torch.testing.assert_close(max_logit(LOGITS), torch.tensor([-math.log(3), 0.0]))
    torch.testing.assert_close(energy(LOGITS), torch.tensor([-math.log(4), -math.log(2)]))
    torch.testing.assert_close(unsure(torch.softmax(LOGITS, 1)), torch.tensor([0.25, 0.5]))


def test_the_distance_to_the_nearest_class_mean_by_hand():
    """Means (3, 1) and (1, 1), so m = (2, 1); f = (2, 2) is at a right angle to both, (5, 1) in line with the first."""
    features = torch.tensor([[3.0, 0.0], [3.0, 2.0], [1.0, 1.0]])
    centre, means = class_means(features, torch.tensor([0, 0, 1]), 2)
    assert centre.tolist() == [2, 1]
    assert means.tolist() == [[1, 0], [-1, 0]]
    asked = torch.tensor([[2.0, 2.0], [5.0, 1.0], [0.0, 1.0]])
    torch.testing.assert_close(feature_distance(asked, centre, means), torch.tensor([1.0, 0.0, 0.0]))


def test_auroc_and_the_share_that_passes_by_hand():
    """Of 4 x 20 pairs; the 95 % quantile of 1 .. 20 is 19, which 15, 19 and 5 pass and 40 does not."""
    known, unknown = torch.arange(1, 21).float(), torch.tensor([15.0, 19.0, 5.0, 40.0])
    pairs = [(u > k) + (u == k) / 2 for u in unknown.tolist() for k in known.tolist()]
    found = detection(known, unknown)
    assert found.auroc == pytest.approx(sum(pairs) / 80)
    assert found.fpr95 == 3 / 4
    assert found.fpr95_low < 3 / 4 < found.fpr95_high
    with pytest.raises(InputError, match="0 unknown images"):
        detection(known, torch.tensor([]))


def test_the_intervals_hold_what_they_say():
    """Of 200 draws of two normals one apart the intervals hold the true value at least 93 % of the time."""
    draws, truth = np.random.RandomState(0), 0.5 * (1 + math.erf(0.5))  # P(X' > X) = Phi(1 / sqrt 2)
    inside = 0
    for _ in range(200):
        found = detection(torch.from_numpy(draws.randn(80)), torch.from_numpy(1 + draws.randn(60)))
        inside += found.auroc_low <= truth <= found.auroc_high
    assert 186 <= inside <= 199
