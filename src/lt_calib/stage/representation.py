"""Stage 1: the representation."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lt_calib.stage.average import WeightAverage
from lt_calib.stage.base import StageModule
from lt_calib.stage.sam import SAM


class RepresentationModule(StageModule):
    """Stage 1: backbone and classifier are trained together.

    Args:
        backbone: (B, 3, H, W) -> (B, num_features).
        classifier: (B, num_features) -> (B, K).
        loss: ``forward(logits, targets)``.
        max_epochs: E >= 0.
        lr: >= 0.
        weight_decay: >= 0.
        schedule: ``(epoch, max_epochs) -> factor``.
        momentum: In [0, 1).
        nesterov: Whether the momentum is Nesterov's.
        ema_decay: In [0, 1); above 0 the stage's result is the average of its weights, see
            :class:`lt_calib.stage.average.WeightAverage`, and validation during training looks at it.
        sam_rho: >= 0; above 0 each step is one of :class:`lt_calib.stage.sam.SAM`.

    Raises:
        ValueError: sam_rho, ema_decay or a setting of the optimiser is out of its range.
    """

    stage = 1

    def __init__(
        self,
        backbone: nn.Module,
        classifier: nn.Module,
        loss: nn.Module,
        *,
        max_epochs: int,
        lr: float,
        weight_decay: float,
        schedule: Callable[[int, int], float],
        momentum: float = 0.9,
        nesterov: bool = False,
        ema_decay: float = 0.0,
        sam_rho: float = 0.0,
    ) -> None:
        super().__init__(
            backbone,
            classifier,
            loss,
            max_epochs=max_epochs,
            lr=lr,
            weight_decay=weight_decay,
            schedule=schedule,
            momentum=momentum,
            nesterov=nesterov,
        )
        if sam_rho < 0:
            raise ValueError(f"sam_rho {sam_rho} must be > 0, or 0 for plain SGD")
        self.sam_rho = sam_rho
        parts = (self.backbone, self.classifier) if ema_decay else ()
        self.averages = nn.ModuleList(WeightAverage(part, ema_decay) for part in parts)

    def param_groups(self) -> Iterable[dict[str, Any]]:
        """All parameters, at one learning rate."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    def build_optimizer(self, groups: list[dict[str, Any]], **settings: Any) -> torch.optim.SGD:
        """SGD, or SAM on it."""
        if not self.sam_rho:
            return super().build_optimizer(groups, **settings)
        if self.trainer.precision == "16-mixed":
            raise ValueError("stage1.sam_rho needs trainer.precision=bf16-mixed or 32-true: it scales no gradients")
        return SAM(groups, rho=self.sam_rho, network=self.backbone, loss=self.loss, **settings)

    def on_train_batch_end(self, outputs: Any, batch: list[Tensor], batch_idx: int) -> None:
        """Take the step into the average."""
        for average, part in zip(self.averages, (self.backbone, self.classifier), strict=False):
            average.update(part)  # type: ignore[operator]

    def on_validation_epoch_start(self) -> None:
        """Validate the average."""
        self._exchange()

    def on_validation_epoch_end(self) -> None:
        """Go on training with the weights themselves."""
        super().on_validation_epoch_end()
        self._exchange()

    def on_fit_end(self) -> None:
        """Take the average for the stage's result; also where a resumed stage had no epoch left to train."""
        self._exchange()

    def _exchange(self) -> None:
        for average, part in zip(self.averages, (self.backbone, self.classifier), strict=False):
            average.exchange(part)  # type: ignore[operator]
