import math

import pytest
import torch
import torch.nn.functional as F

from lt_calib.loss.ldam import LDAM
from lt_calib.model.cosine import Cosine

COUNTS = [81, 16, 1]  # n^(-1/4) = 1/3, 1/2, 1


def slow(logits, targets, margins, scale):
    total = 0.0
    for z, y in zip(logits.tolist(), targets.tolist(), strict=True):
        cos = [x / scale for x in z]
        cos[y] -= margins[y]
        total -= scale * cos[y] - math.log(sum(math.exp(scale * c) for c in cos))
    return total / len(targets)


def test_margins_by_hand_and_slow_twin():
    loss = LDAM(COUNTS)
    assert (loss.margin / 30).tolist() == pytest.approx([0.5 / 3, 0.25, 0.5])
    logits = 30 * (2 * torch.rand(12, 3) - 1)
    targets = torch.arange(12) % 3
    assert float(loss(logits, targets)) == pytest.approx(slow(logits, targets, [0.5 / 3, 0.25, 0.5], 30), rel=1e-5)


def test_a_certain_picture_keeps_its_margin():
    logits = torch.tensor([[-30.0, -30.0, 30.0]])  # p = 1 to float32, and still s m = 15 to lose
    assert float(LDAM(COUNTS)(logits, torch.tensor([2]))) == pytest.approx(2 * math.exp(-60 + 15), abs=1e-9)
    near = torch.tensor([[0.0, 0.0, 18.0]])
    assert float(LDAM(COUNTS)(near, torch.tensor([2]))) == pytest.approx(math.log1p(2 * math.exp(-3)), rel=1e-5)


def test_no_margin_is_cross_entropy():
    logits, targets = torch.randn(12, 3), torch.arange(12) % 3
    torch.testing.assert_close(LDAM(COUNTS, max_margin=0)(logits, targets), F.cross_entropy(logits, targets))


def test_the_calibrated_prediction_is_of_scaled_cosines():
    classifier = Cosine(4, 3, scale=30)
    features = torch.randn(5, 4)
    cos = F.cosine_similarity(features[:, None], classifier.weight[None], dim=2)
    torch.testing.assert_close(classifier(features), 30 * cos, rtol=1e-4, atol=1e-4)
    scaled, unscaled = (torch.softmax(x.detach(), 1).max(1).values for x in (classifier(features), cos))
    assert bool((scaled > unscaled).all())
    assert float(unscaled.max()) < 0.8  # what unscaled cosines can say of three classes: e^2 / (e^2 + 2)


def test_bad_settings():
    with pytest.raises(ValueError, match="max_margin -1"):
        LDAM(COUNTS, max_margin=-1)
