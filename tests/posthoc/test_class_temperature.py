import pytest
import torch
import torch.nn.functional as F

from lt_calib.posthoc.class_temperature import ClassTemperature
from lt_calib.posthoc.temperature import Temperature


def sample(n: int = 6000) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels come at temperature 3 where class 0 is predicted, at 1 elsewhere; class 3 is never predicted."""
    draws = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(n, 4, generator=draws)
    logits[:, 3] = -20
    truth = torch.where(logits.argmax(1) == 0, 3.0, 1.0)[:, None]
    return logits, torch.multinomial(torch.softmax(logits / truth, dim=1), 1, generator=draws)[:, 0]


def test_each_predicted_class_gets_its_own():
    logits, targets = sample()
    found = ClassTemperature(4).fit(logits, targets).temperatures
    common = float(Temperature(4).fit(logits, targets).temperature)
    assert found[:3].tolist() == pytest.approx([3, 1, 1], rel=0.12)
    assert float(found[3]) == pytest.approx(common, rel=1e-4)  # never predicted


def test_strength_draws_to_the_common_temperature():
    logits, targets = sample(200)
    common = float(Temperature(4).fit(logits, targets).temperature)
    strong = ClassTemperature(4, strength=1e9).fit(logits, targets).temperatures
    assert strong.tolist() == pytest.approx([common] * 4, rel=1e-3)
    with pytest.raises(ValueError, match="strength 0"):
        ClassTemperature(4, strength=0)


def test_the_optimum_is_of_the_documented_objective():
    logits, targets = sample(300)
    logits = logits.double()
    fitted = ClassTemperature(4, strength=10.0).fit(logits, targets)
    common = Temperature(4).fit(logits, targets)
    x = fitted.temperatures.double().log().requires_grad_()
    value = F.cross_entropy(logits * torch.exp(-x[logits.argmax(1)])[:, None], targets, reduction="sum")
    penalty = 10 / 2 * (x - common.temperature.double().log()).square().sum()
    (gradient,) = torch.autograd.grad(value + penalty, x)
    assert float(gradient.abs().max()) < 1e-2
