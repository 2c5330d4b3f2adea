import numpy as np
import pytest
import torch
from scipy.stats import binom

from lt_calib.measure.bootstrap import binomial_interval, bootstrap_intervals, picture_scores, resampled_means
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
    found = list(bootstrap_intervals(*one).values())[1:]  # the first is the accuracy, whose interval is exact
    torch.testing.assert_close((weights @ scores(*one)).quantile(levels, dim=0).T[1:].tolist(), found)
    truth = scores(*sample(1_000_000)).mean(0)
    inside = torch.zeros(4)
    for _ in range(rounds):
        low, high = (weights @ scores(*sample(n))).quantile(levels, dim=0)
        inside += (low <= truth) & (truth <= high)
    assert bool(((inside / rounds - 0.95).abs() <= 0.02).all()), inside / rounds


@pytest.mark.parametrize(("hits", "n", "wanted"), [
    (500, 500, [0.025 ** (1 / 500), 1.0]),  # p^n = 0.025
    (0, 500, [0.0, 1 - 0.025 ** (1 / 500)]),
    (1, 1, [0.025, 1.0]),
    (5, 10, [0.187086, 0.812914]),  # Clopper and Pearson's, tabled
])  # fmt: skip
def test_the_interval_of_an_accuracy_is_exact(hits, n, wanted):
    logits, targets = torch.zeros(n, 2), torch.ones(n, dtype=torch.int64)
    logits[:hits, 1], logits[hits:, 0] = 100, 100
    found = bootstrap_intervals(logits, targets, resamples=100)
    assert found["acc"] == pytest.approx(wanted, abs=1e-6)
    if hits in (0, n):  # sure of every one: the over-confidence is 1 minus the accuracy
        assert found["overconf"] == pytest.approx([1 - wanted[1], 1 - wanted[0]], abs=1e-6)
        assert np.ptp(found["brier"]) == pytest.approx(0)


@pytest.mark.parametrize("p", [0.5, 0.9, 0.995, 1.0])
@pytest.mark.parametrize("stratified", [False, True])
def test_the_interval_of_an_accuracy_covers(p, stratified):
    """Exactly, by the binomial's probabilities; and where half of the images are of a class that is always right."""
    n = 100
    if stratified:
        rare = binom.pmf(np.arange(n // 2 + 1), n // 2, max(0.0, 2 * p - 1))
        mass = np.concatenate([np.zeros(n - n // 2), rare])
    else:
        mass = binom.pmf(np.arange(n + 1), n, p)
    ends = [binomial_interval(hits, n) for hits in range(n + 1)]
    covered = sum(m for m, (low, high) in zip(mass, ends, strict=True) if low <= p <= high)
    assert covered >= 0.95


def test_intervals_are_of_95_percent():
    draws = torch.Generator().manual_seed(0)
    logits, targets = 2 * torch.randn(2000, 4, generator=draws), torch.arange(2000) % 4
    found = bootstrap_intervals(logits, targets)
    for name, score in picture_scores(logits, targets).items():
        low, high = found[name]
        assert high - low == pytest.approx(2 * 1.96 * float(score.std()) / 2000**0.5, rel=0.08)  # of 90 %: 0.84 of it
