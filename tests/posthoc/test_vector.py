import pytest
import torch
import torch.nn.functional as F

from lt_calib.posthoc.vector import Vector


def test_at_the_optimum_mean_probabilities_are_the_frequencies():
    """The gradient of the bias is mean p - frequency, that of the weight mean z (p - [y = c])."""
    draws = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(500, 4, generator=draws)
    targets = torch.multinomial(torch.softmax(logits * torch.tensor([0.5, 1, 1, 2]), 1), 1, generator=draws)[:, 0]
    probs = Vector(4).fit(logits, targets)(logits)
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
