import logging
from math import exp, log
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lt_calib.job.diverged import loss_of_a_guess, warn_of_divergence
from lt_calib.loss.balanced_softmax import BalancedSoftmax
from lt_calib.loss.cross_entropy import CrossEntropy
from lt_calib.loss.ldam import LDAM

COUNTS = [90, 9, 1]
PRIOR = torch.tensor(COUNTS) / 100


def test_a_guess_has_log_k_and_more_where_the_loss_has_a_margin():
    assert loss_of_a_guess(CrossEntropy(COUNTS), PRIOR) == pytest.approx(log(3))
    assert loss_of_a_guess(BalancedSoftmax(COUNTS), PRIOR) == pytest.approx(log(3))  # its own is the prior's entropy
    s, m = 30.0, [0.5 * (1 / n) ** 0.25 for n in COUNTS]  # LDAM of logits 0: -log of e^(-s m) / (e^(-s m) + 2)
    wanted = sum(p * log(1 + 2 * exp(s * margin)) for p, margin in zip([0.9, 0.09, 0.01], m, strict=True))
    assert loss_of_a_guess(LDAM(COUNTS, max_margin=0.5, scale=s), PRIOR) == pytest.approx(wanted, rel=1e-5)


def said(caplog, loss: float, logits: torch.Tensor, targets: torch.Tensor, **about: Any) -> str:
    caplog.clear()
    module = SimpleNamespace(loss=CrossEntropy(COUNTS), lr=0.1)
    stage: Any = SimpleNamespace(name="stage2", module=module, sampler=SimpleNamespace(prior=PRIOR))
    with caplog.at_level(logging.WARNING):
        warn_of_divergence(stage, {"history": [{"loss": 9.0}, {"loss": loss}]} | about, logits, targets)
    return caplog.text


def test_what_has_diverged_is_said_with_the_cure(caplog):
    targets = torch.tensor([0, 1, 2] * 4)
    one_class = torch.tensor([[900.0, 0.0, 0.0]]).repeat(12, 1)
    learned = torch.nn.functional.one_hot(targets, 3) * 20.0
    above = said(caplog, 1.25, learned, targets)  # log 3 = 1.0986
    assert "stage2.lr" in above
    assert "1.25" in above
    assert "0.1" in above
    assert "33.3 %" in said(caplog, 0.5, one_class, targets)
    assert said(caplog, 1.2, learned, targets) == ""  # sure, and right
    assert said(caplog, 1.0, one_class * 0.001, targets) == ""  # by chance, and not sure
    assert said(caplog, 5.0, learned, targets, point={"eps_head": 0.1}) == ""
    assert said(caplog, 5.0, learned, targets, history=[]) == ""
