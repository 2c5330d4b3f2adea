import pytest
import torch

from lt_calib.augment.draw import beta


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_moments(alpha):
    drawn = beta(alpha, (20000,), torch.Generator().manual_seed(0))
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(drawn.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


def test_alpha_zero_and_repeatability():
    assert float(beta(0, (), torch.Generator())) == 1
    one, two = (beta(0.5, (9,), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
