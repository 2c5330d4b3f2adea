import numpy as np
import pytest
import torch
from sklearn.isotonic import IsotonicRegression

from lt_calib.posthoc.isotonic import Isotonic


def sample(n: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(n, 3, generator=draws)
    return logits, torch.multinomial(torch.softmax(logits / 2, dim=1), 1, generator=draws)[:, 0]


def test_scikit_learns_curves_row_by_row():
    logits, targets = sample()
    probs = torch.softmax(logits.double(), dim=1).numpy()
    columns = []
    for c in range(3):
        curve = IsotonicRegression(y_min=1 / 800, y_max=1 - 1 / 800, out_of_bounds="clip")
        columns.append(curve.fit(probs[:, c], targets.numpy() == c).predict(probs[:, c]))
    wanted = np.stack(columns, axis=1)
    wanted /= wanted.sum(axis=1, keepdims=True)
    got = Isotonic(3).fit(logits, targets)(logits).numpy()
    # The curve has steps, which its table of 1001 points smooths over one part in a thousand.
    assert np.mean(np.abs(got - wanted) > 0.01) < 0.03
    assert np.abs(got - wanted).mean() < 0.002


def test_no_probability_is_zero():
    logits = 10 * torch.eye(3)[torch.arange(30) % 3]
    probs = Isotonic(3).fit(logits, torch.arange(30) % 3)(logits)
    assert float(probs.min()) == pytest.approx((1 / 60) / (59 / 60 + 2 / 60), rel=1e-3)
