import pytest
import torch
import torch.nn.functional as F

from lt_calib.posthoc.bias_corrected import BiasCorrected


def test_it_undoes_a_temperature_and_a_shift():
    draws = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(20_000, 3, generator=draws)
    targets = torch.multinomial(torch.softmax(logits, dim=1), 1, generator=draws)[:, 0]
    calibrator = BiasCorrected(3).fit(2 * logits + torch.tensor([3.0, 0.0, -1.0]), targets)
    assert float(calibrator.temperature) == pytest.approx(2, rel=0.05)
    bias = calibrator.bias - calibrator.bias[1]
    assert bias.tolist() == pytest.approx([-1.5, 0, 0.5], abs=0.1)


def test_with_the_prior_the_gradients_balance():
    """n (mean p_c - frequency_c) = -2 b_c / (0.25 + b_c^2); without the prior 0, and sum_i z_i (p - y) = 0 too."""
    draws = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(60, 4, generator=draws).double()
    targets = torch.multinomial(torch.softmax(logits * torch.tensor([0.5, 1, 1, 2]), 1), 1, generator=draws)[:, 0]
    fitted, bare = (BiasCorrected(4, strength=s).fit(logits, targets) for s in (1.0, 0.0))
    off, b = fitted.probs(logits) - F.one_hot(targets, 4), fitted.bias
    torch.testing.assert_close(off.sum(0), -2 * b / (0.25 + b**2), atol=1e-4, rtol=0)
    free = bare.probs(logits) - F.one_hot(targets, 4)
    torch.testing.assert_close(free.sum(0), torch.zeros(4).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close((logits * free).sum(), torch.zeros(()).double(), atol=1e-4, rtol=0)
