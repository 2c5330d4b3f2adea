"""Prediction sets: values by hand, and their promises by simulation."""

import math

import pytest
import torch

from lt_calib.conformal.base import quantile
from lt_calib.conformal.class_wise import class_wise
from lt_calib.conformal.coverage import coverage
from lt_calib.conformal.interpolated import interpolated
from lt_calib.conformal.marginal import marginal
from lt_calib.conformal.prior_adjusted import prior_adjusted

K, ALPHA, DRAWS = 4, 0.1, 600
PRIOR = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)


def draw(draws: torch.Generator, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of a bad model (too sure, and worse in later classes), and labels."""
    targets = torch.multinomial(PRIOR, n, replacement=True, generator=draws)
    signal = torch.tensor([3.0, 2.0, 1.0, 0.5])[targets]
    logits = 3 * torch.randn(n, K, generator=draws)
    logits[torch.arange(n), targets] += 2 * signal
    return logits, targets


def missed(fit, n: int, kept=lambda targets: targets >= 0, **settings) -> tuple[float, float]:
    """Share of true classes that sets miss, over many held-out parts of n images and one image each; its error."""
    draws = torch.Generator().manual_seed(0)
    found = []
    for _ in range(DRAWS):
        logits, targets = draw(draws, n + 20)
        sets = fit(logits[:n], targets[:n], ALPHA, **settings).sets(logits[n:])
        of = kept(targets[n:])
        found += [~sets.gather(1, targets[n:, None])[of, 0]] * bool(of.any())
    each = torch.stack([part.double().mean() for part in found])
    return float(each.mean()), float(each.std() / len(each) ** 0.5)


def test_the_quantile_by_hand():
    scores = torch.tensor([0.4, 0.1, 0.3, 0.2])
    assert quantile(scores, 0.5) == pytest.approx(0.3)  # the ceil(5 * 0.5) = 3rd
    assert quantile(scores, 0.2) == pytest.approx(0.4)  # the 4th, 5 * 0.8 = 4 in spite of rounding
    assert quantile(scores, 0.1) == math.inf  # the 5th of four


def test_sets_by_hand():
    probs = torch.tensor([[0.6, 0.3, 0.1], [0.25, 0.5, 0.25], [0.1, 0.2, 0.7]]).double()
    targets = torch.tensor([0, 1, 1])
    rule = marginal(probs.log(), targets, 0.25)  # the third of -0.6, -0.5, -0.2
    assert rule.sets(probs.log()).tolist() == [[1, 1, 0], [1, 1, 1], [0, 1, 1]]
    each = class_wise(
        probs.log(), targets, 0.5
    )  # -0.6 of class 0; the second of -0.5, -0.2 of class 1; none of class 2
    assert each.fell_back == [2]
    assert [-round(q, 6) for q in each.thresholds.tolist()] == [0.6, 0.2, 0.5]  # the second of all three is class 2's
    half = interpolated(probs.log(), targets, 0.5, weight=0.25)
    torch.testing.assert_close(half.thresholds, torch.tensor([-0.525, -0.425, -0.5], dtype=torch.float64))
    adjusted = prior_adjusted(probs.log(), targets, 0.25, torch.tensor([0.5, 0.25, 0.25]))
    assert -float(adjusted.thresholds[0]) == pytest.approx(0.8)  # the smallest of 1.2, 2, 0.8
    assert adjusted.sets(probs.log()).tolist() == [[1, 1, 0], [0, 1, 1], [0, 1, 1]]


@pytest.mark.parametrize("n", [10, 20])
@pytest.mark.parametrize("fit", [marginal, prior_adjusted])
def test_all_images_together_are_covered_as_promised_by_few_held_out_ones(fit, n):
    """With probability 1 - alpha to 1 - alpha + 1 / (n + 1); the quantile without the + 1 would miss 18 and 14 %."""
    share, error = missed(fit, n)
    assert share < ALPHA + 3 * error
    assert share > ALPHA - 1 / (n + 1) - 3 * error


@pytest.mark.parametrize("c", [0, K - 1])
def test_every_class_is_covered_by_class_wise_sets(c):
    """Of 250 images the rarest class has 25 on average, and a threshold of its own in all parts but one of 10 000."""
    share, error = missed(class_wise, 250, lambda targets: targets == c)
    assert share < ALPHA + 3 * error
    if c == K - 1:  # one threshold for all misses what is rare
        worse, error = missed(marginal, 250, lambda targets: targets == c)
        assert worse > ALPHA + 5 * error


def test_interpolated_sets_miss_at_most_twice_alpha():
    share, error = missed(interpolated, 60)
    assert share < 2 * ALPHA + 3 * error


def test_dividing_by_the_prior_covers_classes_better_at_one_size():
    """With the true posterior of a skewed world, sets of one mean size cover the mean class more often."""
    draws = torch.Generator().manual_seed(0)
    prior = torch.tensor([0.85, 0.1, 0.04, 0.01], dtype=torch.float64)
    targets = torch.multinomial(prior, 40_000, replacement=True, generator=draws)
    x = torch.randn(40_000, K, generator=draws) + 1.5 * torch.eye(K)[targets]
    logits = 1.5 * x + prior.log()  # log N(x; 1.5 e_y, 1) + log prior, but for a constant
    half = 20_000

    def point(fit, alpha):
        sets = fit(logits[:half], targets[:half], alpha, prior).sets(logits[half:])
        found = coverage(sets, targets[half:], {}, alpha)
        return found["size"], found["macro"]

    size, macro = point(prior_adjusted, 0.1)
    alphas = torch.linspace(0.001, 0.3, 30).tolist()
    near = min((point(marginal, alpha) for alpha in alphas), key=lambda found: abs(found[0] - size))
    assert abs(near[0] - size) < 0.1
    assert macro > near[1] + 0.02


def test_coverage_by_hand():
    sets = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]]).bool()
    found = coverage(sets, torch.tensor([0, 0, 1, 1]), {"head": [0], "tail": [1, 2]}, 0.1)
    assert found["marginal"]["coverage"] == 0.75
    assert found["macro"] == 0.75
    assert found["groups"]["head"]["coverage"] == 1
    assert found["groups"]["tail"]["coverage"] == 0.5
    assert found["groups"]["head"]["low"] == pytest.approx(0.025**0.5)  # of 2 of 2: (alpha / 2)^(1 / n)
    assert found["classes"][2] is None
    assert (found["size"], found["empty"], found["under_covered"]) == (1.0, 0.25, 0.5)


def test_what_cannot_be_is_refused():
    logits, targets = torch.randn(9, K), torch.arange(9) % K
    for alpha in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="alpha"):
            marginal(logits, targets, alpha)
    with pytest.raises(ValueError, match="weight 2"):
        interpolated(logits, targets, 0.1, weight=2)
