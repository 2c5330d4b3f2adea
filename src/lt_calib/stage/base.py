"""What both stages share: the forward pass, the evaluation step, the optimiser, the call of ``set_epoch``."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from lightning import LightningModule
from torch import Tensor, nn

from lt_calib.metric.predictions import Predictions
from lt_calib.stage.finite import all_finite
from lt_calib.stage.whole_batch import whole_batch


class StageModule(LightningModule):
    """One stage: a backbone, a classifier, a loss, SGD with a schedule an epoch.

    The classifier and the loss run in float32 whatever the trainer's precision. After an evaluation,
    :attr:`predicted` holds its logits (N, K) float32 and targets (N,) int64.

    Args:
        backbone: (B, 3, H, W) -> (B, num_features).
        classifier: (B, num_features) -> (B, K).
        loss: ``forward(logits, targets)``.
        max_epochs: E >= 0; 0 trains nothing.
        lr: Learning rate at factor 1, >= 0.
        weight_decay: >= 0.
        schedule: ``(epoch, max_epochs) -> factor``.
        momentum: In [0, 1).
        nesterov: Whether the momentum is Nesterov's.

    Raises:
        ValueError: a number out of its range, of the schedule's too.
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
        schedule: Callable[[int, int], float],
        momentum: float = 0.9,
        nesterov: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(max_epochs, int) or max_epochs < 0:
            raise ValueError(f"stage{self.stage}.max_epochs {max_epochs} must be a whole number >= 0")
        if not (lr >= 0 and weight_decay >= 0 and 0 <= momentum < 1):
            raise ValueError(
                f"stage{self.stage}: lr {lr} and weight_decay {weight_decay} must be >= 0 and momentum {momentum} in "
                "[0, 1)"
            )
        schedule(0, max(1, max_epochs))  # so that a setting out of its range is found before anything trains
        self.backbone = backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.classifier = classifier
        self.loss = loss
        self.max_epochs = max_epochs
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.momentum = momentum
        self.nesterov = nesterov
        # Several processes gather what they share out; what one evaluates by itself is gathered from none.
        self.predictions = Predictions(distributed_available_fn=lambda: self.over_several)
        self.predicted: tuple[Tensor, Tensor] | None = None

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

    def weights_are_finite(self) -> Tensor:
        """Tell whether all weights are, as a bool () on the device."""
        return all_finite(self)

    def on_train_end(self) -> None:
        """Take the first process's running statistics: each has moved its own by its last piece."""
        if self.over_several:
            for tensor in self.state_dict().values():
                dist.broadcast(tensor, src=0)

    def on_train_epoch_start(self) -> None:
        """Tell the epoch to whatever changes with it, the learning rate too."""
        trainer: Any = self.trainer
        for part in (*self.modules(), *trainer.callbacks, trainer.train_dataloader):
            set_epoch = getattr(part, "set_epoch", None)
            if callable(set_epoch):
                set_epoch(self.current_epoch)
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["full_lr"] * self.schedule(self.current_epoch, self.max_epochs)

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """Collect the logits of one batch, or what else the stage computes of it."""
        images, targets = batch
        self.predictions.update(self(images).clone(), targets)  # CUDA graphs put the next batch's in the same place

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        """Gather the logits of all batches and processes."""
        logits, targets = self.predictions.compute()
        if self.over_several:
            loaders: Any = self.trainer.val_dataloaders
            place = loaders.order().argsort().to(targets.device)
            logits, targets = logits[place], targets[place]
        self.predicted = logits.cpu(), targets.cpu()
        self.predictions.reset()

    on_test_epoch_end = on_validation_epoch_end

    def param_groups(self) -> Iterable[dict[str, Any]]:
        """Parameters to train, each group with its learning rate."""
        raise NotImplementedError

    def configure_optimizers(self) -> torch.optim.SGD:
        """SGD; the schedule's factor is set at each epoch's start, from the epoch alone."""
        groups = [{"lr": self.lr, **group} for group in self.param_groups()]
        return self.build_optimizer(
            [{**group, "full_lr": group["lr"]} for group in groups],
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
        )

    def build_optimizer(self, groups: list[dict[str, Any]], **settings: Any) -> torch.optim.SGD:
        """SGD on these parameter groups."""
        return torch.optim.SGD(groups, **settings)
