import pytest
import torch

from lt_calib.augment.draw import beta, check_size, pixels


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_moments(alpha):
    drawn = beta(alpha, (20000,), torch.Generator().manual_seed(0))
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(drawn.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


def test_alpha_zero_and_repeatability():
    assert float(beta(0, (), torch.Generator())) == 1
    one, two = (beta(0.5, (9,), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)


def test_a_size_is_in_pixels_or_a_fraction_of_the_side():
    wide = torch.zeros(1, 3, 32, 48)
    assert [pixels(check_size(size), wide) for size in (0.5, 16, 16.0, 0.25, 1, 0.001)] == [16, 16, 16, 8, 1, 1]
    for size in (0, -1, 1.5, float("nan"), float("inf"), True):
        with pytest.raises(ValueError, match=f"size {size} must be a whole number of pixels >= 1, or a fraction"):
            check_size(size)
