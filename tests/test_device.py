import pytest
import torch

from lt_calib.augment.draw import beta
from lt_calib.device import widest
from lt_calib.loss.ldam import LDAM


def test_apples_devices_have_no_float64():
    assert widest(torch.device("mps")) == torch.float32
    assert widest(torch.device("cpu")) == torch.float64


def test_what_is_computed_in_float64_is_close_in_float32(monkeypatch):
    loss, logits, targets = LDAM([40, 7, 1], scale=30.0), 5 * torch.randn(20, 3), torch.arange(20) % 3
    wide = loss(logits, targets)
    monkeypatch.setattr("lt_calib.loss.ldam.widest", lambda device: torch.float32)
    monkeypatch.setattr("lt_calib.augment.draw.widest", lambda device: torch.float32)
    assert float(loss(logits, targets)) == pytest.approx(float(wide), rel=1e-4)
    drawn = beta(0.4, (5000,), torch.Generator().manual_seed(0))
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(drawn.var()) == pytest.approx(1 / (4 * (2 * 0.4 + 1)), abs=0.01)
