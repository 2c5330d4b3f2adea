import pytest
import torch
import torch.nn.functional as F

from lt_calib.measure.cross_fit import deal
from lt_calib.posthoc.dirichlet import Dirichlet
from tests.posthoc.test_matrix import confused


def test_it_finds_the_matrix_that_made_the_probabilities():
    draws = torch.Generator().manual_seed(0)
    log_p = torch.log_softmax(2 * torch.randn(6000, 3, generator=draws), dim=1)
    matrix, bias = torch.tensor([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.7]]), torch.tensor([0.5, 0.0, 0.0])
    truth = torch.softmax(log_p @ matrix.T + bias, dim=1)
    targets = torch.multinomial(truth, 1, generator=draws)[:, 0]
    fitted = Dirichlet(3).fit(log_p, targets)
    assert float((fitted(log_p) - truth).abs().mean()) < 0.015
    assert float(fitted.penalty) <= 0.1  # that many images need none


def test_the_gradients_balance_the_penalties():
    """(1 / n) sum_i (p_c - y_c) log p_k = -2 lambda w_ck / (K (K - 1)) off the diagonal, of b -2 lambda b_c / K."""
    logits, targets = confused(300)
    fitted = Dirichlet(4, penalties=[0.5]).fit(logits, targets)
    log_p = torch.log_softmax(logits.double() / fitted.temperature, dim=1)
    off = (fitted.probs(logits.double()) - F.one_hot(targets, 4)) / 300
    expected = -2 * 0.5 * fitted.weight / 12
    u = fitted.weight.diagonal() - 1
    expected[range(4), range(4)] = -2 * u / (0.25 + u**2) / 300
    torch.testing.assert_close(off.T @ log_p, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(off.sum(0), -2 * 0.5 * fitted.bias / 4, atol=1e-6, rtol=0)


def test_the_penalty_is_the_one_of_the_least_cross_fitted_nll():
    """The slow twin: each fold by each penalty alone."""
    logits, targets = confused(120)
    place, penalties = deal(logits, targets), [100.0, 1.0]
    nll = []
    for penalty in penalties:
        total = 0.0
        for fold in range(5):
            held = place == fold
            alone = Dirichlet(4, penalties=[penalty]).fit(logits[~held], targets[~held])
            total += float(F.nll_loss(alone(logits[held]).log(), targets[held], reduction="sum"))
        nll.append(total)
    assert float(Dirichlet(4, penalties=penalties).fit(logits, targets).penalty) == penalties[nll.index(min(nll))]


def test_penalties_that_are_none_are_refused():
    for penalties in ([], [1.0, 0.0]):
        with pytest.raises(ValueError, match="each > 0"):
            Dirichlet(3, penalties=penalties)
