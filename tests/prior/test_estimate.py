import pytest
import torch

from lt_calib.prior.estimate import bbse, confusion, doubts_of_bbse, doubts_of_em, em, estimate_bbse, estimate_em

MEANS = torch.tensor([0.0, 2.0, 4.0])
UNIFORM = torch.full((3,), 1 / 3, dtype=torch.float64)


def drawn(q: list[float], n: int, seed: int, wrong: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of three Gaussians of frequencies q: the exact posterior under a uniform prior, and labels.

    Other than 1, ``wrong`` is a temperature that the posterior is off by.
    """
    draws = torch.Generator().manual_seed(seed)
    y = torch.multinomial(torch.tensor(q), n, replacement=True, generator=draws)
    x = MEANS[y] + torch.randn(n, generator=draws)
    return torch.softmax(-(x[:, None] - MEANS).square().double() / 2 / wrong, dim=1), y


def test_em_by_hand():
    """Two classes told apart for certain: q is their share. One image of p = (1/2, 1/2) besides changes nothing."""
    probs = torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 1.0]] + [[0.5, 0.5]])
    assert em(probs, torch.tensor([0.5, 0.5])).tolist() == pytest.approx([0.75, 0.25], abs=1e-5)
    assert em(probs, torch.tensor([0.5, 0.5]), torch.tensor([1, 1, 1, 3, 1])).tolist() == pytest.approx(
        [0.5, 0.5], abs=1e-5
    )


def test_em_is_the_maximum_of_the_likelihood():
    """A slow twin: the best of a grid of all q in steps of 1/50."""
    own = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    probs, _ = drawn([0.2, 0.3, 0.5], 200, 0)
    probs = probs * own / (probs * own).sum(1, keepdim=True)
    grid = torch.tensor([[i, j, 50 - i - j] for i in range(51) for j in range(51 - i)]).double() / 50
    likelihood = (probs / own @ grid.T).log().sum(0)
    found = em(probs, own)
    assert float((probs / own @ found).log().sum()) >= float(likelihood.max())
    assert (found - grid[likelihood.argmax()]).abs().max() < 0.02


def test_em_s_intervals_cover_nine_times_in_ten_and_more():
    """40 sets of 300 images: 120 intervals of 95 %, of which at least 108 hold q. A tenth as wide they hold a sixth."""
    q = [0.6, 0.3, 0.1]
    found = [estimate_em(drawn(q, 300, seed)[0], UNIFORM, seed) for seed in range(40)]
    held = sum(int(((e.low <= torch.tensor(q)) & (torch.tensor(q) <= e.high)).sum()) for e in found)
    assert held >= 108
    width = torch.stack([e.high - e.low for e in found]).mean()
    deviation = torch.stack([e.prior for e in found]).std(0).mean()
    assert float(width / deviation) == pytest.approx(2 * 1.96, rel=0.2)


def test_bbse_by_hand():
    """C = [[0.9, 0.2], [0.1, 0.8]] and q = (0.3, 0.7): mu = (0.41, 0.59)."""
    predicted, targets = torch.tensor([0] * 9 + [1] + [0] * 2 + [1] * 8), torch.tensor([0] * 10 + [1] * 10)
    matrix = confusion(predicted, targets, 2)
    torch.testing.assert_close(matrix, torch.tensor([[0.9, 0.2], [0.1, 0.8]], dtype=torch.float64))
    shares = torch.tensor([0.41, 0.59], dtype=torch.float64)
    assert bbse(matrix, shares).tolist() == pytest.approx([0.3, 0.7])
    assert bbse(matrix, torch.tensor([0.95, 0.05], dtype=torch.float64)).tolist() == [1, 0]


def test_bbse_s_intervals_cover_and_do_not_mind_probabilities_that_are_off():
    """At a temperature of 3 EM is wrong in 10 sets, and BBSE is as right as ever."""
    q, held = torch.tensor([0.6, 0.3, 0.1]), {"bbse": 0, "em": 0}
    for seed in range(10):
        (probs, _), (val, labels) = drawn(q.tolist(), 300, seed, 3.0), drawn([1.0] * 3, 300, 1000 + seed, 3.0)
        found = {
            "bbse": estimate_bbse(probs.argmax(1), val.argmax(1), labels, 3, seed),
            "em": estimate_em(probs, UNIFORM, seed),
        }
        held = {k: n + int(((found[k].low <= q) & (q <= found[k].high)).sum()) for k, n in held.items()}
    assert held["bbse"] >= 27
    assert held["em"] < 15


def test_doubts():
    probs, labels = drawn([1.0] * 3, 600, 0)
    assert doubts_of_em(probs, UNIFORM, probs, labels) == []
    assert doubts_of_bbse(probs.argmax(1), labels, 3) == []
    (said,) = doubts_of_em(probs, UNIFORM, torch.roll(probs, 1, dims=1)[labels > 0], labels[labels > 0])
    assert "not calibrated" in said
    assert "no held-out" in doubts_of_em(probs, UNIFORM, None, None)[0]
    assert "29 images for 3 classes" in doubts_of_em(probs[:29], UNIFORM, probs, labels)[0]
    alike = torch.where(labels == 2, 1, labels)  # 1 and 2 are predicted alike
    assert "near singular" in doubts_of_bbse(alike, labels, 3)[0]
    few = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2])
    assert "1 of the 3 classes have less than 5" in doubts_of_bbse(few, few, 3)[0]
