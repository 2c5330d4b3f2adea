import pytest
import torch
import torch.nn.functional as F

from lt_calib.errors import InputError
from lt_calib.model.classifier import LearnableWeightScaling, Linear
from lt_calib.model.cosine import Cosine
from lt_calib.model.crt import CRT
from lt_calib.model.logit_adjustment import LogitAdjusted
from lt_calib.model.lws import LWS
from lt_calib.model.ncm import NearestClassMean
from lt_calib.model.tau_norm import TauNorm, rescaled
from lt_calib.posthoc.temperature import best_temperature

FEATURES = torch.randn(40, 4)
TARGETS = torch.arange(40) % 3


def given(**splits):
    """What a run gives to prepare: the features and targets of the splits that are there."""
    return lambda split: splits.get(split)


def tau_norm(linear: Linear, val=None, **settings) -> TauNorm:
    made = TauNorm(linear, **settings)
    made.prepare(linear, given(val=val))
    return made


def nearest_mean(linear: Linear, num_classes: int = 3, val=None, **settings) -> NearestClassMean:
    made = NearestClassMean(linear, num_classes=num_classes, **settings)
    made.prepare(linear, given(train=(FEATURES, TARGETS), val=val))
    return made


@pytest.fixture
def linear() -> Linear:
    linear = Linear(4, 3)
    with torch.no_grad():
        linear.weight.mul_(torch.tensor([[9.0], [3.0], [1.0]]))
        linear.bias.add_(1)
    return linear


def test_zeros_are_a_start_that_no_seed_draws(linear):
    scaled = LearnableWeightScaling(linear, anew=True)
    for new in (Linear(4, 3, "zeros"), CRT(linear, "zeros"), scaled):
        assert new(FEATURES).equal(torch.zeros(40, 3))
    assert scaled.classifier is not linear
    assert LearnableWeightScaling(linear).classifier is linear
    with pytest.raises(ValueError, match=r"init 'ones'"):
        Linear(4, 3, "ones")


def test_crt_starts_anew(linear):
    new = CRT(linear)
    assert new.weight.shape == linear.weight.shape
    assert not torch.equal(new.weight, linear.weight)
    assert not {id(p) for p in new.parameters()} & {id(p) for p in linear.parameters()}


def test_lws_trains_the_scale_alone(linear):
    lws = LWS(linear)
    lws.prepare(linear, given())
    assert torch.equal(lws(FEATURES), linear(FEATURES))
    assert [name for name, p in lws.named_parameters() if p.requires_grad] == ["scale"]


def test_tau_norm(linear):
    plain = tau_norm(linear, tau=0.0)
    torch.testing.assert_close(plain(FEATURES), F.linear(FEATURES, linear.weight))
    normed = tau_norm(linear, tau=1.0)
    torch.testing.assert_close(normed.weight.norm(dim=1), torch.ones(3))
    half = tau_norm(linear, tau=0.5)
    torch.testing.assert_close(half.weight[0], linear.weight[0] / linear.weight[0].norm() ** 0.5)


def test_tau_is_chosen_on_the_validation_part_only(linear):
    without = tau_norm(linear)
    torch.testing.assert_close(without.weight.norm(dim=1), torch.ones(3))  # tau 1
    direction = F.normalize(linear.weight.detach())
    labels = (FEATURES @ direction.T).argmax(1)  # what tau = 1 predicts
    chosen = tau_norm(linear, val=(FEATURES, labels))
    assert torch.equal(chosen(FEATURES).argmax(1), labels)


def test_ncm(linear):
    ncm = nearest_mean(linear, temperature=1.0)
    means = torch.stack([FEATURES[c == TARGETS].mean(0) for c in range(3)])
    torch.testing.assert_close(ncm(FEATURES), -torch.cdist(FEATURES, means).square(), rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="class 3 has no training image"):
        nearest_mean(linear, num_classes=4)
    fitted = nearest_mean(linear, val=(FEATURES, TARGETS), temperature=None)
    losses = [F.cross_entropy(ncm(FEATURES) / t, TARGETS) for t in (fitted.temperature, 1.0, 100.0, 0.01)]
    assert losses[0] == min(losses)


def test_without_a_validation_part_ncm_leaves_each_image_out_of_its_mean(linear):
    """The slow twin computes the means anew for each image."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.tensor([0] * 30 + [1] * 8 + [2])
    features = torch.randn(39, 4, generator=generator) + 0.8 * targets[:, None]
    logits, weights = torch.zeros(38, 3, dtype=torch.float64), torch.zeros(38, dtype=torch.float64)
    for i in range(38):  # the last class has one image
        others = [(targets == c) & (torch.arange(39) != i) for c in range(3)]
        means = torch.stack([features[rows].mean(0) for rows in others])
        logits[i] = -(features[i] - means).double().square().sum(1)
        weights[i] = 1 / int((targets == targets[i]).sum())
    made = NearestClassMean(linear, num_classes=3)
    made.prepare(linear, given(train=(features, targets)))
    weights *= weights.sum() / weights.square().sum()
    wanted = best_temperature(logits, targets[:38], weights)
    assert float(made.temperature) == pytest.approx(float(wanted), rel=1e-4)
    seen = best_temperature(made._logits(features[:38]).double(), targets[:38], weights)
    assert float(seen) < 0.95 * float(wanted)  # with its own image in the mean it would be too sure


def test_ncm_on_normalized_features_is_by_angles_around_the_mean(linear):
    ncm = nearest_mean(linear, normalize=True, temperature=1.0)
    unit = [(f - FEATURES.mean(0)) / (f - FEATURES.mean(0)).norm() for f in FEATURES]
    means = [torch.stack([u for u, c in zip(unit, TARGETS, strict=True) if c == k]).mean(0) for k in range(3)]
    expected = torch.stack([torch.stack([-(u - m).square().sum() for m in means]) for u in unit])
    torch.testing.assert_close(ncm(FEATURES), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ncm(FEATURES.mean(0) + 7 * (FEATURES - FEATURES.mean(0))), ncm(FEATURES))


def test_logit_adjustment(linear):
    pi = torch.tensor([0.8, 0.15, 0.05])
    adjusted = LogitAdjusted(linear, prior=pi, tau=2.0)
    torch.testing.assert_close(adjusted(FEATURES), linear(FEATURES) - 2 * pi.log())
    assert torch.equal(LogitAdjusted(linear, prior=pi, tau=0.0)(FEATURES), linear(FEATURES))
    with pytest.raises(InputError, match="twice"):
        LogitAdjusted(linear, prior=pi, corrected=True)
    for prior in (None, torch.tensor([0.5, 0.5, 0.0])):
        with pytest.raises(InputError, match="frequency > 0"):
            LogitAdjusted(linear, prior=prior)


def test_tau_norm_and_crt_on_a_cosine_classifier():
    cosine = Cosine(4, 3)
    with pytest.raises(InputError, match="linear stage-1 classifier, got Cosine"):
        TauNorm(cosine)  # type: ignore[arg-type]
    assert CRT(cosine)(FEATURES).shape == (40, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.6])
def test_tau_is_searched(linear, tau):
    features = torch.randn(4000, 4, generator=torch.Generator().manual_seed(0))
    labels = (features @ rescaled(linear.weight.detach(), tau).T).argmax(1)
    assert float(tau_norm(linear, val=(features, labels)).tau) == pytest.approx(tau)


def test_settings_out_of_their_range(linear):
    with pytest.raises(InputError, match="tau -1 must be >= 0"):
        TauNorm(linear, tau=-1)
    with pytest.raises(InputError, match="tau -1 must be >= 0"):
        LogitAdjusted(linear, prior=torch.full((3,), 1 / 3), tau=-1)
    for temperature in (0.0, -1.0):
        with pytest.raises(ValueError, match=f"temperature {temperature} must be > 0"):
            NearestClassMean(linear, num_classes=3, temperature=temperature)


def test_tau_is_chosen_with_each_class_weighing_the_same(linear):
    """Of a long-tailed part the plain accuracy is that of the frequent class."""
    one = F.normalize(linear.weight.detach())
    labels = (FEATURES @ one.T).argmax(1)
    order = torch.cat([(labels == 0).nonzero()[:, 0].repeat(50), (labels > 0).nonzero()[:, 0]])
    features, targets = FEATURES[order], labels[order]
    taus = [i / 10 for i in range(21)]

    def recalls(tau: float) -> float:
        right = (features @ (linear.weight / linear.weight.norm(dim=1, keepdim=True) ** tau).T).argmax(1) == targets
        return round(sum(float(right[targets == c].double().mean()) for c in targets.unique()), 9)

    chosen = tau_norm(linear, val=(features, targets))
    assert float(chosen.tau) == pytest.approx(max(taus, key=recalls))
