import math

import pytest
import torch

from lt_calib.loss.balanced_softmax import BalancedSoftmax
from lt_calib.loss.lade import LADE

COUNTS = [6, 3, 1]
PI = [0.6, 0.3, 0.1]


def slow_r(z, targets, lam):
    """R from its definition, class by class."""
    total, b = 0.0, len(z)
    for c in range(3):
        own = [z[i][c] for i in range(b) if targets[i] == c]
        a = sum(own) / len(own) if own else 0.0
        shifted = [z[i][c] - math.log(PI[c]) + math.log(1 / 3) for i in range(b)]
        b_c = math.log(sum(math.exp(x) for x in shifted)) - math.log(b)
        total -= PI[c] * (a - b_c - lam * b_c**2)
    return total


@pytest.mark.parametrize("targets", [[0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1], [0] * 6])
def test_slow_twin_also_with_classes_missing(targets):
    logits, t = torch.randn(6, 3), torch.tensor(targets)
    wanted = float(BalancedSoftmax(COUNTS)(logits, t)) + 0.3 * slow_r(logits.tolist(), targets, 0.05)
    assert float(LADE(COUNTS, alpha=0.3, lam=0.05)(logits, t)) == pytest.approx(wanted, rel=1e-4)


def test_alpha_zero_is_balanced_softmax():
    logits, targets = torch.randn(12, 3), torch.arange(12) % 3
    torch.testing.assert_close(LADE(COUNTS, alpha=0.0)(logits, targets), BalancedSoftmax(COUNTS)(logits, targets))


def test_bad_settings():
    with pytest.raises(ValueError, match="alpha -1"):
        LADE(COUNTS, alpha=-1)
