"""In pieces of a few rows everything is what it is all at once: the numbers of a large data set are no others."""

import pytest
import torch
from omegaconf import OmegaConf

from lt_calib.measure import pieces
from lt_calib.measure.bootstrap import picture_scores
from lt_calib.measure.check import check_probs
from lt_calib.measure.cross_fit import cross_fitted, log_probs
from lt_calib.posthoc.temperature import Temperature
from lt_calib.settings.check import make
from tests.conftest import CONF, plugins
from tests.metric.conftest import CASES

LOGITS = 3 * torch.randn(203, 7, generator=torch.Generator().manual_seed(0))
TARGETS = torch.multinomial(torch.softmax(LOGITS / 2, dim=1), 1, generator=torch.Generator().manual_seed(1))[:, 0]


@pytest.fixture
def in_pieces(monkeypatch):
    """Call a function all at once, and then in pieces of one, and of a few rows that do not divide N."""

    def both(function):
        found = [function()]
        for most in (1, 20):
            with monkeypatch.context() as patch:
                patch.setattr(pieces, "MOST", most)
                found.append(function())
        return found

    return both


def test_rows_are_cut_without_a_gap(monkeypatch):
    monkeypatch.setattr(pieces, "MOST", 20)
    rows = list(pieces.pieces(LOGITS))
    assert [row for piece in rows for row in range(203)[piece]] == list(range(203))
    assert rows[0] == slice(0, 2)
    assert list(pieces.pieces(torch.empty(2, 50))) == [slice(0, 1), slice(1, 2)]
    assert pieces.by_rows(lambda x: x.sum(1), torch.empty(0, 5)).shape == (0,)


def test_a_sum_in_pieces_has_the_value_and_the_gradient_of_the_whole(in_pieces):
    def term(x, z, y):
        return torch.nn.functional.cross_entropy(z * x, y, reduction="sum")

    def summed():
        x = torch.full((7,), 0.7, dtype=torch.float64, requires_grad=True)
        value = pieces.summed(term, x, LOGITS.double(), TARGETS) ** 2 + x.sum()
        return torch.stack([value.detach(), *torch.autograd.grad(value, x)[0]])

    x = torch.full((7,), 0.7, dtype=torch.float64, requires_grad=True)
    whole = term(x, LOGITS.double(), TARGETS) ** 2 + x.sum()
    wanted = torch.stack([whole.detach(), *torch.autograd.grad(whole, x)[0]])
    for found in in_pieces(summed):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", plugins("metric"))
def test_metrics(name, case, in_pieces):
    cfg = OmegaConf.create({"metric": OmegaConf.load(CONF / "metric" / f"{name}.yaml")})
    metric, (probs, targets) = make(cfg, f"metric.{name}"), case
    whole, *rest = in_pieces(lambda: metric(probs, targets))
    for found in rest:
        torch.testing.assert_close(found, whole, rtol=0, atol=0, equal_nan=True)


def test_scores_of_the_bootstrap_and_checked_probabilities(in_pieces):
    for function in (
        lambda: torch.stack(list(picture_scores(LOGITS, TARGETS).values())),
        lambda: check_probs(*CASES["many classes"]),
        lambda: log_probs(Temperature(7).fit(LOGITS, TARGETS), LOGITS),
    ):
        whole, *rest = in_pieces(function)
        for found in rest:
            torch.testing.assert_close(found, whole, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", plugins("posthoc"))
def test_calibrators(name, in_pieces):
    cfg = OmegaConf.create({"posthoc": OmegaConf.load(CONF / "posthoc" / f"{name}.yaml")})
    if name == "dirichlet":
        cfg.posthoc.penalties = [1.0]  # one of its eighteen fits
    few = LOGITS[:40], TARGETS[:40]  # pieces of one row each are slow, and some search long
    whole, *rest = in_pieces(lambda: make(cfg, "posthoc", 7, class_counts=range(70, 0, -10)).fit(*few)(few[0]))
    for found in rest:
        torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_cross_fitting(in_pieces):
    whole, *rest = in_pieces(lambda: cross_fitted(Temperature, LOGITS, TARGETS))
    for found in rest:
        torch.testing.assert_close(found, whole, rtol=1e-6, atol=0)
