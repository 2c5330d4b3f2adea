import pytest
import torch
import torch.nn.functional as F

from lt_calib.posthoc import matrix
from lt_calib.posthoc.matrix import Matrix
from lt_calib.posthoc.temperature import Temperature


def confused(n: int, k: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A model that is too sure, and takes a part of class 0 for class 1."""
    draws = torch.Generator().manual_seed(seed)
    truth = 2 * torch.randn(n, k, generator=draws)
    targets = torch.multinomial(torch.softmax(truth, dim=1), 1, generator=draws)[:, 0]
    mixed = torch.eye(k)
    mixed[1, 0] = 0.4
    return 2 * truth @ mixed.T, targets


def test_the_gradients_balance_the_penalties():
    """sum_i (p_c - y_c) log p_k = -2 strength lambda_ck u_ck, lambda K on diagonal and biases, K (K - 1) elsewhere."""
    logits, targets = confused(300)
    fitted = Matrix(4, strength=0.5).fit(logits, targets)
    log_p = torch.log_softmax(logits.double() / fitted.temperature, dim=1)
    off = fitted.probs(logits.double()) - F.one_hot(targets, 4)
    penalties = torch.full((4, 4), 12.0).double().fill_diagonal_(4.0)
    moved = fitted.weight - torch.eye(4)
    torch.testing.assert_close(off.T @ log_p, -2 * 0.5 * penalties * moved, atol=1e-4, rtol=0)
    torch.testing.assert_close(off.sum(0), -2 * 0.5 * 4 * fitted.bias, atol=1e-4, rtol=0)


def test_it_is_the_authors_own(monkeypatch):
    """What probmetrics 1.3.0, SMSCalibrator with ridge and BFGS, finds of these; it has another temperature before."""
    monkeypatch.setattr(matrix, "best_temperature", lambda *_: torch.ones((), dtype=torch.float64))
    rows = [[2, 0, 0], [1, 0, 0.5], [0, 2, 0], [0.5, 1, 0], [0, 0, 2], [0, 1, 1.5], [1, 1, 0], [0, 1, 2]]
    log_p = torch.log_softmax(torch.tensor(rows * 5), dim=1)
    targets = torch.tensor([0, 1, 1, 1, 2, 2, 0, 1] * 4 + [0, 0, 1, 0, 2, 1, 1, 2])
    fitted = Matrix(3).fit(log_p, targets)
    theirs = [[1.31625, 0.04225, -0.1888], [-0.10042, 0.89242, -0.01344], [-0.0576, 0.01175, 1.40469]]
    torch.testing.assert_close(fitted.weight, torch.tensor(theirs).double(), atol=2e-4, rtol=0)
    torch.testing.assert_close(fitted.bias, torch.tensor([-0.01529, 0.12181, -0.10651]).double(), atol=2e-4, rtol=0)


def test_it_undoes_what_a_temperature_cannot():
    fitted, plain = Matrix(4).fit(*confused(5000)), Temperature(4).fit(*confused(5000))
    logits, targets = confused(5000, seed=1)
    after, without = (float(F.nll_loss(c(logits).log(), targets)) for c in (fitted, plain))
    assert after < without - 0.02


@pytest.mark.parametrize("strength", [1e9])
def test_held_hard_it_is_a_temperature(strength):
    logits, targets = confused(500)
    held, plain = Matrix(4, strength=strength).fit(logits, targets), Temperature(4).fit(logits, targets)
    torch.testing.assert_close(held(logits), plain(logits), atol=1e-5, rtol=0)
