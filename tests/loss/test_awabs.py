import logging
import math

import pytest
import torch

from lt_calib.loss.awabs import AWABS
from lt_calib.loss.balanced_softmax import BalancedSoftmax
from lt_calib.loss.label_aware_smoothing import LabelAwareSmoothing

COUNTS = [60, 25, 10, 5]
PI = [n / 100 for n in COUNTS]
FORMS = ["concave", "linear", "convex"]
SPACES = ["test", "test_normalised", "train"]


def wanted_targets(y: int, eps: list[float], space: str, pi: list[float]) -> list[float]:
    """The targets s as design and paper define them, element by element."""
    k = len(pi)
    t = [1 - eps[y] if i == y else eps[y] / (k - 1) for i in range(k)]
    if space == "train":
        return t
    s = [pi[i] * t[i] / pi[y] for i in range(k)]
    return s if space == "test" else [x / sum(s) for x in s]


def awabs(space: str = "test", form: str = "concave", eps_head=0.4, eps_tail=0.1, prior=None) -> AWABS:
    return AWABS(COUNTS, eps_head=eps_head, eps_tail=eps_tail, form=form, target_space=space, prior=prior)


def minimize(objective, k: int = 4) -> torch.Tensor:
    z = torch.zeros(1, k, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [z], max_iter=500, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def closure():
        optimiser.zero_grad()
        value = objective(z)
        value.backward()
        return value

    optimiser.step(closure)
    return z.detach()[0]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("form", FORMS)
def test_slow_twin(space, form):
    loss = awabs(space, form)
    logits = torch.randn(12, 4)
    total = 0.0
    for i, z in enumerate(logits.tolist()):
        e = [p * math.exp(x) for p, x in zip(PI, z, strict=True)]
        s = wanted_targets(i % 4, loss.eps.tolist(), space, PI)
        total -= sum(s[c] * math.log(e[c] / sum(e)) for c in range(4))
    assert float(loss(logits, torch.arange(12) % 4)) == pytest.approx(total / 12, rel=1e-5)


def test_by_hand():
    # Two classes, pi = (3/4, 1/4), eps = (0.3, 0), equal logits: p = pi.
    loss = AWABS([3, 1], eps_head=0.3, eps_tail=0.0)
    logits = torch.zeros(1, 2)
    head = -(0.7 * math.log(3 / 4) + (1 / 4) * 0.3 / (3 / 4) * math.log(1 / 4))
    assert float(loss(logits, torch.tensor([0]))) == pytest.approx(head)
    assert float(loss(logits, torch.tensor([1]))) == pytest.approx(-math.log(1 / 4))


@pytest.mark.parametrize("space", SPACES)
def test_without_smoothing_it_is_balanced_softmax(space):
    logits, targets = torch.randn(16, 4), torch.arange(16) % 4
    got = awabs(space, eps_head=0.0, eps_tail=0.0)(logits, targets)
    torch.testing.assert_close(got, BalancedSoftmax(COUNTS)(logits, targets))


@pytest.mark.parametrize("space", SPACES)
def test_uniform_prior_is_label_aware_smoothing_and_says_so(space, caplog):
    logits, targets = torch.randn(16, 4), torch.arange(16) % 4
    las = LabelAwareSmoothing(COUNTS, eps_head=0.4, eps_tail=0.1, form="concave")
    with caplog.at_level(logging.INFO, "lt_calib"):
        uniform = awabs(space, prior=torch.ones(4))
    assert "label-aware smoothing" in caplog.text
    torch.testing.assert_close(uniform(logits, targets), las(logits, targets))
    caplog.clear()
    awabs(space)
    assert caplog.text == ""


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("form", FORMS)
def test_certain_label_reaches_log_s_over_pi(space, form):
    loss = awabs(space, form)
    for y in range(4):
        z = minimize(lambda z, y=y: loss(z, torch.tensor([y])))
        s = torch.tensor(wanted_targets(y, loss.eps.tolist(), space, PI))
        wanted = (s / torch.tensor(PI)).log()
        torch.testing.assert_close(z - z.mean(), wanted - wanted.mean(), atol=2e-3, rtol=0)


def ambiguous_optimum(space: str, q: torch.Tensor) -> torch.Tensor:
    """The test prediction that a picture with class-balanced posterior q, seen under the prior, is fitted to."""
    seen = q * torch.tensor(PI)
    z = minimize(lambda z: awabs(space)(z, (seen / seen.sum())[None]))
    return torch.softmax(z, dim=0)


def test_ambiguous_picture():
    q = torch.tensor([0.5, 0.0, 0.0, 0.5])  # head or tail
    loss = awabs()
    t = torch.tensor([wanted_targets(y, loss.eps.tolist(), "train", PI) for y in range(4)])
    wanted = q @ t
    las = LabelAwareSmoothing(COUNTS, eps_head=0.4, eps_tail=0.1, form="concave")
    by_las = torch.softmax(minimize(lambda z: las(z, q[None])), dim=0)
    torch.testing.assert_close(by_las, wanted, atol=1e-3, rtol=0)
    torch.testing.assert_close(ambiguous_optimum("test", q), wanted, atol=1e-3, rtol=0)
    for other in ("test_normalised", "train"):
        assert float((ambiguous_optimum(other, q) - wanted).abs().max()) > 0.05


def test_published_example_of_the_printed_formula():
    # CIFAR-10-LT, IF 100, eps 0.3: a perfectly fitted picture of class 0 gets test probability 0.08.
    counts = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    loss = AWABS(counts, eps_head=0.3, eps_tail=0.0, target_space="train")
    z = minimize(lambda z: loss(z, torch.tensor([0])), k=10)
    assert float(torch.softmax(z, dim=0)[0]) == pytest.approx(0.08, abs=0.005)


def test_bad_settings_name_value_and_constraint():
    with pytest.raises(ValueError, match=r"eps_head 0.1 and eps_tail 0.2 must"):
        awabs(eps_head=0.1, eps_tail=0.2)
    with pytest.raises(ValueError, match="target_space 'both'"):
        awabs("both")
    with pytest.raises(ValueError, match="form 'flat'"):
        awabs(form="flat")
    with pytest.raises(ValueError, match="class_counts"):
        AWABS([3, 0], eps_head=0.3, eps_tail=0.0)
    with pytest.raises(ValueError, match="2 classes"):
        AWABS([3], eps_head=0.3, eps_tail=0.0)
