import math

import pytest
import torch
import torch.nn.functional as F

from lt_calib.posthoc.count_temperature import CountTemperature
from lt_calib.posthoc.temperature import Temperature

COUNTS = [1000, 100, 10]


def by_count(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions of class c are too sure by T_c = 4, 2, 1."""
    draws = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, 3, generator=draws)
    temperatures = torch.tensor([4.0, 2.0, 1.0])[logits.argmax(1)][:, None]
    return logits, torch.multinomial(torch.softmax(logits / temperatures, 1), 1, generator=draws)[:, 0]


def test_it_finds_level_and_slope():
    """log T = log 2 + (log 2 / log 10) (log n - log 100)."""
    fitted = CountTemperature(3, COUNTS).fit(*by_count(40_000))
    assert float(fitted.level) == pytest.approx(math.log(2), abs=0.03)
    assert float(fitted.slope) == pytest.approx(math.log(2) / math.log(10), abs=0.02)
    assert fitted.settings()["temperatures"]["rarest"] == pytest.approx(1, abs=0.06)
    assert fitted.settings()["temperatures"]["most_frequent"] == pytest.approx(4, rel=0.06)


def test_with_the_prior_the_gradients_balance():
    """d/da sum_i NLL_i = -2 x / (0.25 + x^2), x = a - log T, and for s b likewise with the standardized log n."""
    logits, targets = by_count(200)
    fitted = CountTemperature(3, COUNTS).fit(logits, targets)
    z, spread = logits.double(), fitted.log_counts.square().mean().sqrt()
    a, b = (x.clone().requires_grad_() for x in (fitted.level, fitted.slope))
    at = fitted.log_counts[z.argmax(1)]
    F.cross_entropy(z * torch.exp(-a - b * at)[:, None], targets, reduction="sum").backward()
    x = fitted.level - Temperature(3).fit(logits, targets).temperature.log()
    y = fitted.slope * spread
    assert a.grad is not None
    assert b.grad is not None
    torch.testing.assert_close(a.grad, -2 * x / (0.25 + x**2), atol=1e-4, rtol=0)
    torch.testing.assert_close(b.grad / spread, -2 * y / (0.25 + y**2), atol=1e-4, rtol=0)


def test_of_classes_of_one_size_it_is_a_temperature():
    logits, targets = by_count(500)
    alike, plain = CountTemperature(3, [7, 7, 7]).fit(logits, targets), Temperature(3).fit(logits, targets)
    assert float(alike.slope) == 0
    torch.testing.assert_close(alike(logits), plain(logits), atol=0.01, rtol=0)


def test_other_counts_are_refused():
    for counts in ([1, 2], [1, 0, 3]):
        with pytest.raises(ValueError, match="class_counts"):
            CountTemperature(3, counts)
