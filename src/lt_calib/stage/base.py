"""What both stages share: the forward pass, the evaluation step, the optimizer, the call of ``set_epoch``."""

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from lt_calib.measure.predictions import Predictions
from lt_calib.seed import global_seed
from lt_calib.training.finite import all_finite
from lt_calib.training.whole_batch import whole_batch

Schedule = Callable[[int, int], float]
SGD = partial(torch.optim.SGD, momentum=0.9)


class StageModule(LightningModule):
    """One stage: a backbone, a classifier, a loss, an optimizer with a schedule.

    The classifier and the loss run in float32 whatever the trainer's precision. What the network itself draws (dropout,
    stochastic depth) is drawn anew from (seed, stage, epoch, rank) at every epoch's start, so that a resumed stage
    draws the same. While it trains, :attr:`predicted` holds the validation part's logits (N, K) float32 and targets.

    Args:
        backbone: (B, C, H, W) -> (B, num_features).
        classifier: (B, num_features) -> (B, K).
        loss: ``forward(logits, targets)``.
        max_epochs: E >= 0; 0 trains nothing.
        lr: Learning rate at factor 1, >= 0.
        weight_decay: >= 0.
        schedule: ``(epoch, max_epochs) -> factor``, or a scheduler of torch's that takes the optimizer.
        optimizer: ``(param_groups, lr, weight_decay) -> Optimizer``.
        schedule_per: ``"epoch"`` or ``"step"``: what the schedule counts.
        seed: The job's.

    Raises:
        ValueError: a number out of its range, of the optimizer's and the schedule's too.
    """

    stage: int

    def __init__(
        self,
        backbone: nn.Module,
        classifier: nn.Module,
        loss: nn.Module,
        *,
        max_epochs: int,
        lr: float,
        weight_decay: float,
        schedule: Schedule | Callable[..., LRScheduler],
        optimizer: Callable[..., torch.optim.Optimizer] = SGD,
        schedule_per: str = "epoch",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(max_epochs, int) or max_epochs < 0:
            raise ValueError(f"stage{self.stage}.max_epochs {max_epochs} must be a whole number >= 0")
        if not (0 <= lr < float("inf") and 0 <= weight_decay < float("inf")):
            raise ValueError(f"stage{self.stage}: lr {lr} and weight_decay {weight_decay} must be >= 0 and finite")
        if schedule_per not in ("epoch", "step"):
            raise ValueError(f"stage{self.stage}.schedule_per {schedule_per!r} must be 'epoch' or 'step'")
        self.backbone = backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.classifier = classifier
        self.loss = loss
        self.max_epochs = max_epochs
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.schedule_per = schedule_per
        self.optimizer = optimizer
        self.seed = seed
        # Several processes gather what they share out; what one evaluates by itself is gathered from none.
        self.predictions = Predictions(distributed_available_fn=lambda: self.over_several)
        self.predicted: tuple[Tensor, Tensor] | None = None

    def begin(self) -> None:
        """Make ready to be trained: the stages share their backbone, and the one before has had it."""
        self.train()  # Lightning fits a module in the modes that it finds

    @property
    def over_several(self) -> bool:
        """Whether several processes train it together."""
        return self._trainer is not None and self.trainer.world_size > 1

    def features(self, images: Tensor) -> Tensor:
        """Compute the backbone's features (B, num_features)."""
        return self.backbone(images)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits (B, K) float32, those that are tested and calibrated."""
        features = self.features(images)
        with torch.autocast(images.device.type, enabled=False):
            return self.classifier(features.float())

    def training_step(self, batch: list[Tensor], batch_idx: int) -> dict[str, Any]:
        """Compute the loss of one batch, that of all processes together."""
        images, targets = batch
        logits = self(images)
        if self.over_several:
            logits, targets = whole_batch(logits, targets)
        return {"loss": self.loss(logits, targets), "images": len(targets)}

    def predict_step(self, batch: list[Tensor], batch_idx: int) -> tuple[Tensor, Tensor]:
        """Compute what is kept of one batch: logits, or what else :meth:`forward` gives, and targets."""
        images, targets = batch
        return self(images).clone().float(), targets  # CUDA graphs put the next batch's in the same place

    def weights_are_finite(self) -> Tensor:
        """Say whether all weights are, as a bool () on the device."""
        return all_finite(self)

    def on_train_end(self) -> None:
        """Take the first process's running statistics: each has moved its own by its last piece."""
        if self.over_several:
            for tensor in self.state_dict().values():
                dist.broadcast(tensor, src=0)

    def on_train_epoch_start(self) -> None:
        """Tell the epoch to whatever changes with it."""
        trainer: Any = self.trainer
        for part in (*self.modules(), *trainer.callbacks, trainer.train_dataloader):
            set_epoch = getattr(part, "set_epoch", None)
            if callable(set_epoch):
                set_epoch(self.current_epoch)
        torch.manual_seed(global_seed(self.seed, "network", self.stage, self.current_epoch, trainer.global_rank))

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """Collect the logits of one batch, or what else the stage computes of it."""
        self.predictions.update(*self.predict_step(batch, batch_idx))

    def on_validation_epoch_end(self) -> None:
        """Gather the logits of all batches and processes."""
        logits, targets = self.predictions.compute()
        if self.over_several:
            loaders: Any = self.trainer.val_dataloaders
            place = loaders.order().argsort().to(targets.device)
            logits, targets = logits[place], targets[place]
        self.predicted = logits.cpu(), targets.cpu()
        self.predictions.reset()

    def param_groups(self) -> Iterable[dict[str, Any]]:
        """Parameters to train, each group with its learning rate where that is not the stage's."""
        raise NotImplementedError

    def build_optimizer(self) -> torch.optim.Optimizer:
        """Build the optimizer of the stage's parameters."""
        return self.optimizer(list(self.param_groups()), lr=self.lr, weight_decay=self.weight_decay)

    def build_schedule(self, optimizer: torch.optim.Optimizer, total: int) -> LRScheduler:
        """Build the schedule of ``total`` epochs or steps.

        Raises:
            ValueError: a setting out of its range.
        """
        target = self.schedule.func if isinstance(self.schedule, partial) else self.schedule
        if inspect.isclass(target):
            return self.schedule(optimizer)  # type: ignore[call-arg, arg-type, return-value]
        factor: Any = self.schedule
        return LambdaLR(optimizer, lambda done: factor(min(done, total - 1), total))  # asked once more at the end

    def configure_optimizers(self) -> dict[str, Any]:
        """Build both, for the trainer."""
        optimizer = self.build_optimizer()
        per_step = self.schedule_per == "step"
        total = int(self.trainer.estimated_stepping_batches) if per_step else self.max_epochs
        scheduler = {"scheduler": self.build_schedule(optimizer, total), "interval": self.schedule_per}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}


class Features(LightningModule):
    """A backbone alone, for its features: ``predict_step`` gives (B, num_features) float32 and targets.

    Args:
        backbone: (B, C, H, W) -> (B, num_features).
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def predict_step(self, batch: list[Tensor], batch_idx: int) -> tuple[Tensor, Tensor]:
        """Compute one batch's features."""
        images, targets = batch
        return self.backbone(images).clone().float(), targets
