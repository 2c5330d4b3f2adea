"""Training stops at the first loss that is no number."""

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

EVERY = 50  # steps between two looks at a GPU, each of which waits for it


class StopAtNonFinite(Callback):
    """Raises at a NaN or infinite loss: at once on a CPU, within 50 steps on a GPU; the last whole epoch is kept.

    At an epoch's end it raises at weights that are not finite, so that no such epoch is kept.

    Raises:
        ValueError: names the stage, epoch, step, and the last finite loss.
    """

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._first = 0
        self._last_finite: float | None = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the steps anew."""
        self._losses, self._first = [], 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Look at the losses that have gathered."""
        self._losses.append(outputs.get("shown", outputs["loss"]).detach())  # of a grid: of the points that are well
        last = batch_idx + 1 == trainer.num_training_batches
        if pl_module.device.type != "cpu" and len(self._losses) < EVERY and not last:
            return
        for i, loss in enumerate(torch.stack(self._losses).tolist()):
            if not (-float("inf") < loss < float("inf")):
                none = "none was finite since the process began"
                before = none if self._last_finite is None else f"the last was {self._last_finite:.6g}"
                raise ValueError(
                    f"stage {pl_module.stage}: the loss is {loss} in epoch {trainer.current_epoch + 1}, step "
                    f"{self._first + i + 1}; {before}. {_cure(pl_module.stage)}"
                )
            self._last_finite = loss
        self._losses, self._first = [], batch_idx + 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Look at the weights: the step after the last loss may have been the one that broke them."""
        if not bool(pl_module.weights_are_finite()):
            raise ValueError(
                f"stage {pl_module.stage}: the weights are not finite after epoch {trainer.current_epoch + 1}, whose "
                f"last loss was {self._last_finite:.6g}. {_cure(pl_module.stage)}"
            )


def all_finite(module: nn.Module) -> Tensor:
    """Say whether all parameters and buffers are finite, as a bool () on their device."""
    sums = [v.sum().float() for v in module.state_dict().values() if v.is_floating_point()]
    return torch.stack(sums).isfinite().all()


def _cure(stage: int) -> str:
    cure = f"Take a lower stage{stage}.lr, or trainer.precision=32-true"
    return f"{cure}. The epochs before are kept, and the next start resumes after them"
