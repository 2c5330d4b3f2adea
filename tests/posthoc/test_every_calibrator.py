"""The contract of every calibrator that conf/ lists."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf

from lt_calib.settings import check
from tests.conftest import CONF, plugins
from tests.metric.bad import BAD_LOGITS, BAD_PAIRS

NAMES = plugins("posthoc")


def make(name: str, k: int = 5):
    cfg = OmegaConf.create({"posthoc": OmegaConf.load(CONF / "posthoc" / f"{name}.yaml")})
    return check.make(cfg, "posthoc", k, class_counts=[500, 200, 80, 30, 10][:k])


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
    if calibrator.keeps_predictions:
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
def test_bad_logits_and_labels_are_refused(name):
    fitted = make(name).fit(*sample(n=40))
    for logits, targets, said in BAD_PAIRS.values():
        with pytest.raises(ValueError, match=said):
            make(name).fit(logits, targets)
    for logits, said in [*BAD_LOGITS.values(), (torch.zeros(3, 4), r"must be \(N, 5\)")]:
        with pytest.raises(ValueError, match=said):
            fitted(logits)
    with pytest.raises(ValueError, match=r"must be \(N, 5\)"):
        make(name).fit(torch.zeros(3, 4), torch.tensor([0, 1, 2]))


@pytest.mark.parametrize("name", NAMES)
def test_predictions_of_inference_mode(name):
    with torch.inference_mode():
        logits = 3 * torch.randn(40, 5)
        targets = torch.arange(40) % 5
    assert bool(torch.isfinite(make(name).fit(logits, targets)(logits)).all())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["one", "right", "nearly", "wrong", "a class", "same", "two classes", "huge", "tiny"])
def test_a_part_that_settles_nothing_is_said_and_leaves_it_sane(name, kind):
    """Fitted to 20 images or fewer it makes the NLL of 2000 others no worse than 1.5 times what it was, + 0.1."""
    k = 2 if kind == "two classes" else 5
    draws = torch.Generator().manual_seed(1)
    logits = 4 * torch.randn(2000, k, generator=draws)
    targets = torch.multinomial(torch.softmax(logits, dim=1), 1, generator=draws)[:, 0]
    right = logits.argmax(1) == targets
    few = {
        "one": torch.arange(1),
        "right": right.nonzero()[:20, 0],
        "nearly": torch.cat([right.nonzero()[:19, 0], (~right).nonzero()[:1, 0]]),
        "wrong": (~right).nonzero()[:20, 0],
        "a class": (targets == 0).nonzero()[:20, 0],
    }.get(kind, torch.arange(20))
    scale = {"huge": 1e30, "tiny": 1e-30, "same": 0.0}.get(kind, 1.0)
    with pytest.warns(UserWarning, match=r"held-out image"):
        calibrator = make(name, k).fit(scale * logits[few], targets[few])
    assert calibrator.doubts
    probs = calibrator(scale * logits)
    assert bool(probs.isfinite().all())
    torch.testing.assert_close(probs.sum(1), torch.ones(2000))
    if scale == 1 and kind != "wrong":
        before, after = F.cross_entropy(logits, targets), F.nll_loss(probs.clamp(min=1e-30).log(), targets)
        assert float(after) < 1.5 * float(before) + 0.1


@pytest.mark.parametrize("name", NAMES)
def test_an_ordinary_part_is_not_doubted(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert make(name).fit(*sample()).doubts == []


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_of_two_is_two_images_and_one_of_zero_is_none(name):
    logits, targets = sample(n=600)
    weights = torch.arange(600) % 4
    repeated = logits.repeat_interleave(weights, dim=0), targets.repeat_interleave(weights)
    weighed, slow = make(name).fit(logits, targets, weights), make(name).fit(*repeated)
    others, _ = sample(1, 300)
    torch.testing.assert_close(weighed(others), slow(others), rtol=1e-4, atol=1e-5)
    alike = make(name).fit(logits, targets)
    assert not torch.allclose(weighed(others), alike(others), rtol=1e-4, atol=1e-5)
    ones = make(name).fit(logits, targets, torch.ones(600))
    torch.testing.assert_close(ones(others), alike(others), rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_weights_that_are_none_are_refused(name):
    logits, targets = sample(n=4)
    for weights, said in (
        (torch.tensor([1.0, -2.0, 1.0, 1.0]), r"weight 1 \(0-based\) is -2"),
        (torch.tensor([1.0, 1.0, float("nan"), 1.0]), r"weight 2 \(0-based\) is nan"),
        (torch.ones(3), r"must be \(4,\)"),
        (torch.zeros(4), "not all be 0"),
    ):
        with pytest.raises(ValueError, match=said):
            make(name).fit(logits, targets, weights)


@pytest.mark.parametrize("name", NAMES)
def test_doubts_count_weighed_images_by_their_effective_number(name):
    """2000 images of which one has nearly all the weight settle no more than one does."""
    weights = torch.full((2000,), 1e-9)
    weights[0] = 1
    with pytest.warns(UserWarning, match="counted by their weights"):
        assert make(name).fit(*sample(), weights).doubts
