import math

import pytest
import torch
import torch.nn.functional as F

from lt_calib.loss.focal import Focal


def test_by_hand():
    logits = torch.tensor([[math.log(3), 0.0]])
    assert float(Focal([1, 1])(logits, torch.tensor([0]))) == pytest.approx(-((1 / 4) ** 2) * math.log(3 / 4))
    assert float(Focal([1, 1], gamma=1)(logits, torch.tensor([1]))) == pytest.approx(-(3 / 4) * math.log(1 / 4))


def test_gamma_zero_is_cross_entropy():
    logits, targets = torch.randn(12, 3), torch.arange(12) % 3
    torch.testing.assert_close(Focal([5, 3, 1], gamma=0)(logits, targets), F.cross_entropy(logits, targets))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_certain_predictions_have_finite_gradients(gamma):
    logits = torch.tensor([[1e4, 0.0], [0.0, 1e4]], requires_grad=True)
    Focal([1, 1], gamma=gamma)(logits, torch.tensor([0, 0])).backward()
    assert bool(torch.isfinite(logits.grad).all())  # type: ignore[arg-type]


def test_negative_gamma():
    with pytest.raises(ValueError, match="gamma -1"):
        Focal([1, 1], gamma=-1)
