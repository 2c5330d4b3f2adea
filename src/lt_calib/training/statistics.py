"""Batch norm's statistics after a stage that ended while its weights still moved fast."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from lt_calib.stage.base import StageModule

log = logging.getLogger(__name__)


def ended_fast(rates: Sequence[float]) -> bool:
    """Say whether a schedule never came down: the last epoch began with more than half of the highest rate.

    Running statistics are averages over the last steps. While the rate is high, the weights leave them behind, and with
    each layer the features in evaluation mode are further off: after two epochs of the digits they were three times too
    long, and stage 2 diverged on them. No published schedule ends so.

    Args:
        rates: The learning rate at the start of each epoch.
    """
    return bool(rates) and rates[-1] > max(rates) / 2


@torch.no_grad()
def renew_statistics(module: StageModule, batches: Iterable[Sequence[Tensor]], device: torch.device | str) -> None:
    """Replace the running statistics of the backbone's batch norm by their means over the batches.

    The weights stand still meanwhile; batch norm that the stage keeps in evaluation mode stays as it is.

    Args:
        module: A stage that has been trained; it ends where and as it was.
        batches: ``(images, ...)``, as they are drawn for training.
        device: Where it is done.
    """
    training, home = module.training, next(module.parameters()).device
    module.train()
    norms = [m for m in module.backbone.modules() if isinstance(m, _BatchNorm) and m.training]
    module.eval()
    if norms:
        log.info("Batch norm's statistics are computed anew, since the learning rate never came down.")
    before: list[Any] = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches, each weighing alike
        norm.train()
    module.to(device)
    for images, *_ in batches if norms else ():
        module.backbone(images)
    module.to(home)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    module.train(training)
