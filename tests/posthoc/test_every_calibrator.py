"""The contract of every calibrator that conf/ lists."""

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf

from lt_calib.settings import check
from tests.conftest import CONF, plugins

NAMES = plugins("posthoc")
KEEPS_PREDICTIONS = {"temperature", "class_temperature"}


def make(name: str, k: int = 5):
    return check.make(OmegaConf.create({"posthoc": OmegaConf.load(CONF / "posthoc" / f"{name}.yaml")}), "posthoc", k)


def sample(seed: int = 0, n: int = 2000) -> tuple[torch.Tensor, torch.Tensor]:
    """A model that is too sure by a temperature of 2."""
    draws = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(n, 5, generator=draws)
    return logits, torch.multinomial(torch.softmax(logits / 2, dim=1), 1, generator=draws)[:, 0]


@pytest.mark.parametrize("name", NAMES)
def test_it_calibrates_pictures_that_it_was_not_fitted_on(name):
    calibrator = make(name).fit(*sample())
    logits, targets = sample(1)
    before, after = F.cross_entropy(logits, targets), F.nll_loss(calibrator(logits).log(), targets)
    assert float(after) < float(before) - 0.1
    if name in KEEPS_PREDICTIONS:
        assert torch.equal(calibrator(logits).argmax(1), logits.argmax(1))


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_probabilities_also_at_large_logits(name):
    calibrator = make(name).fit(*sample())
    for scale in (1.0, 1e4):
        probs = calibrator(scale * torch.randn(50, 5))
        assert probs.dtype == torch.float32
        assert bool(((probs >= 0) & (probs <= 1)).all())
        torch.testing.assert_close(probs.sum(1), torch.ones(50))


@pytest.mark.parametrize("name", NAMES)
def test_not_fitted_and_the_state_dict(name, tmp_path):
    logits, targets = sample()
    fresh, fitted = make(name), make(name).fit(logits, targets)
    with pytest.raises(RuntimeError, match="not fitted"):
        fresh(logits)
    torch.save(fitted.state_dict(), tmp_path / "c")
    fresh.load_state_dict(torch.load(tmp_path / "c", weights_only=True))
    assert torch.equal(fresh(logits), fitted(logits))


@pytest.mark.parametrize("name", NAMES)
def test_bad_logits(name):
    logits, targets = sample(n=20)
    with pytest.raises(ValueError, match=r"must be \(N, 5\)"):
        make(name).fit(logits[:, :4], targets)
    with pytest.raises(ValueError, match="finite"):
        make(name).fit(logits.clone().fill_(float("nan")), targets)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_of_inference_mode(name):
    with torch.inference_mode():
        logits = 3 * torch.randn(40, 5)
        targets = torch.arange(40) % 5
    assert bool(torch.isfinite(make(name).fit(logits, targets)(logits)).all())
