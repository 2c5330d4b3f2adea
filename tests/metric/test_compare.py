import pytest
import torch

from lt_calib.metric.bootstrap import picture_scores
from lt_calib.metric.compare import compare, mcnemar


def test_mcnemar_by_hand():
    a = torch.tensor([True] * 8 + [False] * 2 + [True] * 5)
    b = torch.tensor([False] * 8 + [True] * 2 + [True] * 5)
    # Two or fewer of ten, both sides: 2 (1 + 10 + 45) / 1024.
    assert mcnemar(a, b) == pytest.approx(2 * 56 / 1024)
    assert mcnemar(a, a) == 1


def test_a_model_against_itself_and_against_a_worse_one():
    draws = torch.Generator().manual_seed(0)
    targets = torch.arange(500) % 5
    good = 2 * torch.eye(5)[targets] + torch.randn(500, 5, generator=draws)
    bad = torch.eye(5)[targets] + torch.randn(500, 5, generator=draws)
    same = compare(good, good, targets)
    assert all(d.value == 0 and d.p == 1 and not d.beyond_noise for d in same.values())
    found = compare(good, bad, targets)
    assert found["acc"].value > 0
    assert found["acc"].beyond_noise
    assert found["nll"].value < 0
    assert found["nll"].high < 0
    assert found["nll"].beyond_noise
    other = compare(bad, good, targets)["nll"]
    assert other.value == pytest.approx(-found["nll"].value)
    with pytest.raises(ValueError, match="same pictures"):
        compare(good, bad[:10], targets)


def test_equal_models_differ_beyond_noise_one_time_in_twenty():
    draws = torch.Generator().manual_seed(1)
    rounds, found = 300, 0
    for _ in range(rounds):
        targets = torch.randint(3, (200,), generator=draws)
        a, b = (torch.eye(3)[targets] + torch.randn(200, 3, generator=draws) for _ in range(2))
        found += compare(a, b, targets, resamples=200)["nll"].beyond_noise
    assert abs(found / rounds - 0.05) < 3 * (0.05 * 0.95 / rounds) ** 0.5 + 0.01  # 200 resamples have steps of 0.01


def test_the_interval_is_of_95_percent_and_accuracys_p_is_mcnemars():
    draws = torch.Generator().manual_seed(0)
    targets = torch.arange(1000) % 4
    a, b = (torch.eye(4)[targets] + torch.randn(1000, 4, generator=draws) for _ in range(2))
    found = compare(a, b, targets)
    difference = picture_scores(a, targets)["nll"] - picture_scores(b, targets)["nll"]
    width = found["nll"].high - found["nll"].low
    assert width == pytest.approx(2 * 1.96 * float(difference.std()) / 1000**0.5, rel=0.08)
    assert found["acc"].p == mcnemar(a.argmax(1) == targets, b.argmax(1) == targets)
