import numpy as np
import pytest
import torch

from lt_calib.measure.bootstrap import bootstrap_intervals, picture_scores, resampled_means
from lt_calib.metric.brier import brier_score
from lt_calib.metric.nll import negative_log_likelihood
from lt_calib.metric.overconf import over_confidence


def test_scores_of_the_pictures_average_to_the_metrics():
    logits, targets = torch.randn(100, 5), torch.arange(100) % 5
    probs = torch.softmax(logits, dim=1)
    means = {name: float(v.mean()) for name, v in picture_scores(logits, targets).items()}
    assert means["acc"] == pytest.approx(float((probs.argmax(1) == targets).float().mean()))
    assert means["nll"] == pytest.approx(float(negative_log_likelihood(logits, targets)), rel=1e-5)
    assert means["brier"] == pytest.approx(float(brier_score(probs, targets)), rel=1e-5)
    assert means["overconf"] == pytest.approx(float(over_confidence(probs, targets)), abs=1e-6)


def test_resampled_means_have_the_spread_of_a_mean():
    values = torch.randn(400, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 3.0])
    means = resampled_means(values, 2000)
    assert means.shape == (2000, 2)
    torch.testing.assert_close(means.mean(0), values.mean(0).double(), atol=0.02, rtol=0)
    wanted = values.double().std(0, correction=0) / 400**0.5
    torch.testing.assert_close(means.std(0), wanted, rtol=0.06, atol=0)
    with pytest.raises(ValueError, match="resamples 0"):
        resampled_means(values, 0)


@pytest.mark.slow
def test_coverage_in_simulation():
    """95 +- 2 % of the intervals hold the truth."""
    draws = torch.Generator().manual_seed(0)

    def sample(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        logits = 2 * torch.randn(n, 4, generator=draws)
        # The model is too sure: labels come from a flatter distribution than its own.
        return logits, torch.multinomial(torch.softmax(logits / 2, dim=1), 1, generator=draws)[:, 0]

    def scores(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return torch.stack(list(picture_scores(logits, targets).values()), dim=1)

    n, rounds = 400, 4000
    weights = resampled_means(torch.eye(n))  # the same resamples for every model: here drawn once, since it is linear
    levels = torch.tensor([0.025, 0.975], dtype=torch.float64)
    one = sample(n)
    torch.testing.assert_close(
        (weights @ scores(*one)).quantile(levels, dim=0).T.tolist(), list(bootstrap_intervals(*one).values())
    )
    truth = scores(*sample(1_000_000)).mean(0)
    inside = torch.zeros(4)
    for _ in range(rounds):
        low, high = (weights @ scores(*sample(n))).quantile(levels, dim=0)
        inside += (low <= truth) & (truth <= high)
    assert bool(((inside / rounds - 0.95).abs() <= 0.02).all()), inside / rounds


def test_intervals_of_a_model_that_is_always_right():
    logits = 100 * torch.eye(3)[torch.arange(30) % 3]
    intervals = bootstrap_intervals(logits, torch.arange(30) % 3)
    assert intervals["acc"] == [1, 1]
    assert np.allclose(intervals["brier"], 0)


def test_intervals_are_of_95_percent():
    draws = torch.Generator().manual_seed(0)
    logits, targets = 2 * torch.randn(2000, 4, generator=draws), torch.arange(2000) % 4
    found = bootstrap_intervals(logits, targets)
    for name, score in picture_scores(logits, targets).items():
        low, high = found[name]
        assert high - low == pytest.approx(2 * 1.96 * float(score.std()) / 2000**0.5, rel=0.08)  # of 90 %: 0.84 of it
