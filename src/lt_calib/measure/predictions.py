"""The predictions of one pass over a data set, gathered from all batches and processes."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class Predictions(Metric):
    """Collects logits and targets: ``compute()`` returns (N, K) float32 and (N,) int64."""

    full_state_update = False
    logits: list[Tensor]
    targets: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("logits", [], dist_reduce_fx="cat")
        self.add_state("targets", [], dist_reduce_fx="cat")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add a batch; what is added need not be logits."""
        self.logits.append(logits.detach().float())
        self.targets.append(targets)

    def compute(self) -> tuple[Tensor, Tensor]:
        """Return all of them, in the order in which they were added."""
        if len(self.logits) == 0:  # a list before processes are synchronised, a tensor after
            return torch.empty(0, 0), torch.empty(0, dtype=torch.int64)
        return dim_zero_cat(self.logits), dim_zero_cat(self.targets)
