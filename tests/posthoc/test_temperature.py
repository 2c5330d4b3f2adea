import pytest
import torch
import torch.nn.functional as F

from lt_calib.posthoc.temperature import Temperature


def test_by_hand_two_logits():
    """Logits (a, 0), right in 3 of 4: softmax(a / T) = 3 / 4 at T = a / log 3."""
    logits = torch.tensor([[2.0, 0.0]] * 4)
    calibrator = Temperature(2).fit(logits, torch.tensor([0, 0, 0, 1]))
    assert float(calibrator.temperature) == pytest.approx(2 / torch.tensor(3.0).log().item(), rel=1e-6)
    torch.testing.assert_close(calibrator(logits)[0], torch.tensor([0.75, 0.25]))


def test_slow_twin_finds_the_temperature_that_made_the_labels():
    draws = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(20_000, 5, generator=draws)
    targets = torch.multinomial(torch.softmax(logits / 2.5, dim=1), 1, generator=draws)[:, 0]
    found = float(Temperature(5).fit(logits, targets).temperature)
    grid = torch.linspace(2, 3, 1001)
    slow = grid[torch.stack([F.cross_entropy(logits / t, targets) for t in grid]).argmin()]
    assert found == pytest.approx(float(slow), abs=2e-3)
    assert found == pytest.approx(2.5, rel=0.03)


def test_no_finite_temperature_is_best():
    right, wrong = (Temperature(3).fit(z, torch.arange(3)) for z in (torch.eye(3), -torch.eye(3)))
    assert 0.01 <= float(right.temperature) < 0.1
    assert float(F.nll_loss(right(torch.eye(3)).log(), torch.arange(3))) < 1e-3
    assert 10 < float(wrong.temperature) < 100.01
