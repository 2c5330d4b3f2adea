"""The bound on accepted errors: values by hand, and its promise by simulation."""

import pytest
import torch

from lt_calib.conformal.risk import Accepted, accept_above


def test_how_many_right_images_vouch_for_five_percent():
    """0.95^n <= 0.05 / 5 from n = 90 on."""
    assert accept_above(torch.full((89,), 0.97), torch.zeros(89).bool(), 0.05) is None
    assert accept_above(torch.full((90,), 0.97), torch.zeros(90).bool(), 0.05) == 0.0


def test_it_stops_above_the_wrong_ones():
    confidence = torch.cat([torch.full((200,), 0.8), torch.full((200,), 0.4)]).double()
    wrong = torch.arange(400) >= 200
    assert accept_above(confidence, wrong, 0.05) == 0.405


def test_the_risk_is_kept_but_for_delta():
    """Errors of (1 - c) / 2 at a confidence c uniform on [0, 1]: the risk above t is (1 - t) / 4."""
    draws = torch.Generator().manual_seed(0)
    n, runs, risk, delta = 600, 400, 0.1, 0.2
    failed = found = 0
    for _ in range(runs):
        confidence = torch.rand(n, generator=draws, dtype=torch.float64)
        wrong = torch.rand(n, generator=draws, dtype=torch.float64) < (1 - confidence) / 2
        t = accept_above(confidence, wrong, risk, delta)
        found += t is not None
        failed += t is not None and (1 - t) / 4 > risk
    assert failed / runs <= delta + 3 * (delta * (1 - delta) / runs) ** 0.5
    assert found / runs > 0.5


def test_which_are_accepted():
    logits = torch.tensor([[0.9, 0.1], [0.3, 0.7]]).log()
    assert Accepted(0.05, 0.05, 0.8).takes(logits).tolist() == [True, False]
    assert Accepted(0.05, 0.05, None).takes(logits).tolist() == [False, False]


@pytest.mark.parametrize("value", [0.0, 1.0, float("nan")])
def test_what_cannot_be_is_refused(value):
    with pytest.raises(ValueError, match="risk"):
        accept_above(torch.ones(3), torch.zeros(3).bool(), value)
    with pytest.raises(ValueError, match="delta"):
        accept_above(torch.ones(3), torch.zeros(3).bool(), 0.1, value)
