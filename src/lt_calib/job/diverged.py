"""A stage that has diverged is said to have."""

import copy
import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lt_calib.job.parts import Stage
from lt_calib.metric.acc_balanced import balanced_accuracy

log = logging.getLogger(__name__)

ABOVE = 1.1  # times a guess's loss: an epoch's mean may lie a little above it while it falls
SURE = 0.99  # a mean confidence that is saturated
CHANCE = 1.5  # times 1 / K: a balanced accuracy that is no better than a guess


def warn_of_divergence(stage: Stage, about: Mapping[str, Any], logits: Tensor, targets: Tensor) -> None:
    """Warn of a stage whose training loss ended above a guess's, or that is sure of everything and right by chance.

    Args:
        stage: Fitted.
        about: What was kept of its training: ``{"history": [...], ...}``.
        logits: Of the test set (N, K) float32; nothing but this warning comes of them here.
        targets: (N,) int64.
    """
    lines = []
    if about["history"] and "point" not in about:  # a grid's loss is the mean of its points
        loss, guess = about["history"][-1]["loss"], loss_of_a_guess(stage.module.loss, stage.sampler.prior)
        if loss > ABOVE * guess:
            lines.append(f"its training loss ended at {loss:.3g}, and a guess has {guess:.3g}")
    probs = torch.softmax(logits, dim=1)
    sure, right = float(probs.amax(dim=1).mean()), float(balanced_accuracy(probs, targets))
    if sure > SURE and right < CHANCE / logits.shape[1]:
        lines.append(
            f"its mean confidence is {100 * sure:.1f} %, and {100 * right:.1f} % is right, no more than by chance"
        )
    if lines:
        name = stage.name
        longer = "a longer warm-up (stage1.schedule.warmup)" if name == "stage1" else "a longer stage 1"
        log.warning(
            "Stage %s has diverged: %s. Take a lower %s.lr (it is %g) or %s.",
            name[-1], "; ".join(lines), name, stage.module.lr, longer,
        )  # fmt: skip


def loss_of_a_guess(loss: nn.Module, prior: Tensor) -> float:
    """Compute the mean loss of logits that are all 0, at least log K, which it is of the plain cross-entropy.

    Args:
        loss: ``forward(logits, targets)``.
        prior: (K,) frequencies of the classes in the batches.
    """
    loss = copy.deepcopy(loss).cpu().eval()  # a call may move its state
    k = len(prior)
    with torch.no_grad():
        each = torch.stack([loss(torch.zeros(1, k), torch.tensor([c])).float() for c in range(k)])
    return max(float((each * prior.cpu()).sum()), float(torch.tensor(k).log()))
