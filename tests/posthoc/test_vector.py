import pytest
import torch
import torch.nn.functional as F

from lt_calib.posthoc.temperature import Temperature
from lt_calib.posthoc.vector import Vector


def test_at_the_optimum_mean_probabilities_are_the_frequencies():
    """The gradient of the bias is mean p - frequency, that of the weight mean z (p - [y = c])."""
    draws = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(500, 4, generator=draws)
    targets = torch.multinomial(torch.softmax(logits * torch.tensor([0.5, 1, 1, 2]), 1), 1, generator=draws)[:, 0]
    probs = Vector(4, strength=0).fit(logits, targets)(logits)
    labels = F.one_hot(targets, 4)
    torch.testing.assert_close(probs.mean(0), labels.float().mean(0), atol=1e-4, rtol=0)
    torch.testing.assert_close((logits * (probs - labels)).mean(0), torch.zeros(4), atol=1e-4, rtol=0)


def test_it_undoes_a_shift_of_the_logits():
    draws = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(20_000, 3, generator=draws)
    targets = torch.multinomial(torch.softmax(logits, dim=1), 1, generator=draws)[:, 0]
    calibrator = Vector(3).fit(logits + torch.tensor([3.0, 0.0, -1.0]), targets)
    bias = calibrator.bias - calibrator.bias[1]
    assert bias.tolist() == pytest.approx([-3, 0, 1], abs=0.25)


def test_with_the_prior_the_gradients_balance():
    """n (mean p_c - frequency_c) = -2 b_c / (0.25 + b_c^2), and likewise sum_i z_ic / T (p - y) for u_c = T w_c."""
    draws = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(60, 4, generator=draws).double()
    targets = torch.multinomial(torch.softmax(logits * torch.tensor([0.5, 1, 1, 2]), 1), 1, generator=draws)[:, 0]
    fitted, temperature = Vector(4).fit(logits, targets), Temperature(4).fit(logits, targets).temperature
    off = fitted.probs(logits) - F.one_hot(targets, 4)
    u, b = temperature * fitted.weight - 1, fitted.bias
    torch.testing.assert_close(off.sum(0), -2 * b / (0.25 + b**2), atol=1e-4, rtol=0)
    torch.testing.assert_close((logits / temperature * off).sum(0), -2 * u / (0.25 + u**2), atol=1e-4, rtol=0)


def test_few_images_leave_it_near_plain_temperature_scaling():
    """100 images for 20 parameters, of a model that needs none: the NLL of others was 1.2 larger without the prior."""
    draws = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4100, 10, generator=draws)
    targets = torch.multinomial(torch.softmax(logits, dim=1), 1, generator=draws)[:, 0]
    plain, bare, held = (
        float(F.nll_loss(c(logits[100:]).clamp(min=1e-30).log(), targets[100:]))
        for c in (m.fit(logits[:100], targets[:100]) for m in (Temperature(10), Vector(10, strength=0), Vector(10)))
    )
    assert bare > plain + 0.1
    assert held < plain + 0.05
