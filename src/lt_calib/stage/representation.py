"""Stage 1: the representation."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lt_calib.stage.base import SGD, StageModule
from lt_calib.training.average import WeightAverage
from lt_calib.training.sam import SAM


class RepresentationModule(StageModule):
    """Stage 1: backbone and classifier are trained together.

    Args:
        backbone: (B, C, H, W) -> (B, num_features).
        classifier: (B, num_features) -> (B, K); its parameters whose names its ``undecayed`` has do not decay.
        loss: ``forward(logits, targets)``.
        ema_decay: In [0, 1); above 0 the stage's result is the average of its weights, see
            :class:`lt_calib.training.average.WeightAverage`, and validation during training looks at it.
        sam_rho: >= 0; above 0 each step is one of :class:`lt_calib.training.sam.SAM`.
        backbone_lr_factor: >= 0; times lr, for what is trained of the backbone.
        freeze: Names of modules of the backbone that are not trained, ``["conv1", "layer1"]``; their batch norm stands
            still.
        max_epochs, lr, weight_decay, schedule, optimizer, schedule_per, seed: See
            :class:`lt_calib.stage.base.StageModule`.

    Raises:
        ValueError: sam_rho, ema_decay or backbone_lr_factor is out of its range, or no module has a name of ``freeze``.
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
        schedule: Any,
        ema_decay: float = 0.0,
        sam_rho: float = 0.0,
        backbone_lr_factor: float = 1.0,
        freeze: Sequence[str] = (),
        optimizer: Callable[..., torch.optim.Optimizer] = SGD,
        schedule_per: str = "epoch",
        seed: int = 0,
    ) -> None:
        super().__init__(
            backbone,
            classifier,
            loss,
            max_epochs=max_epochs,
            lr=lr,
            weight_decay=weight_decay,
            schedule=schedule,
            optimizer=optimizer,
            schedule_per=schedule_per,
            seed=seed,
        )
        if sam_rho < 0:
            raise ValueError(f"sam_rho {sam_rho} must be > 0, or 0 for a plain step")
        if not backbone_lr_factor >= 0:
            raise ValueError(f"stage1.backbone_lr_factor {backbone_lr_factor} must be >= 0")
        self.sam_rho = sam_rho
        self.ema_decay = ema_decay
        self.backbone_lr_factor = backbone_lr_factor
        self.frozen = [module_of(self.backbone, name, "stage1.freeze").requires_grad_(False) for name in freeze]
        parts = (self.backbone, self.classifier) if ema_decay else ()
        self.averages = nn.ModuleList(WeightAverage(part, ema_decay) for part in parts)

    def train(self, mode: bool = True) -> "RepresentationModule":
        """Keep what is frozen in evaluation mode."""
        super().train(mode)
        for module in getattr(self, "frozen", ()):
            module.eval()
        return self

    def param_groups(self) -> Iterable[dict[str, Any]]:
        """All parameters, at one learning rate but for the backbone's factor, and one decay but for what has none."""
        free = [getattr(self.classifier, name) for name in getattr(self.classifier, "undecayed", ())]
        slow = [p for p in self.backbone.parameters() if p.requires_grad]
        elsewhere = {id(p) for p in (*slow, *free)}
        own = [p for p in self.parameters() if p.requires_grad and id(p) not in elsewhere]
        groups: list[dict[str, Any]] = [{"params": slow + own}]
        if self.backbone_lr_factor != 1:
            groups = [{"params": slow, "lr": self.lr * self.backbone_lr_factor}, {"params": own}]
        groups.append({"params": free, "weight_decay": 0.0})
        return [group for group in groups if group["params"]]

    def build_optimizer(self) -> torch.optim.Optimizer:
        """Build the optimizer, or SAM on it."""
        optimizer = super().build_optimizer()
        return SAM(optimizer, rho=self.sam_rho, network=self.backbone, loss=self.loss) if self.sam_rho else optimizer

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


def module_of(backbone: nn.Module, name: str, setting: str) -> nn.Module:
    """Return the module of a backbone that a setting names.

    Raises:
        ValueError: there is none of that name.
    """
    modules = dict(backbone.named_modules())
    if not name or name not in modules:
        there = ", ".join(child for child, _ in backbone.named_children())
        raise ValueError(f"{setting}: the backbone has no module {name!r}; it has {there}, and those inside")
    return modules[name]
