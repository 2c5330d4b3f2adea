"""Stage 2: the classifier alone."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lt_calib.stage.base import SGD, StageModule
from lt_calib.stage.representation import module_of


class ClassifierModule(StageModule):
    """Stage 2: the backbone is frozen, its batch norm shifted by choice, and the classifier is trained.

    Args:
        backbone: Stage 1's, trained; its weights and batch-norm affine parameters do not move.
        classifier: Made from stage 1's, or new.
        loss: ``forward(logits, targets)``.
        stage1_classifier: Stage 1's: parameters of ``classifier`` that are also its own continue at lr * lr_factor,
            all others learn at lr.
        shift_bn: Whether the running statistics of batch norm follow this stage's batches, which then are normalised
            by their own statistics in training; names of modules of the backbone, ``["layer3"]``: in those alone.
        lr_factor: >= 0; 0 leaves stage 1's own parameters as they are.
        max_epochs, lr, weight_decay, schedule, optimizer, schedule_per, seed: See
            :class:`lt_calib.stage.base.StageModule`.

    Raises:
        ValueError: lr_factor is below 0, no module has a name of ``shift_bn``, or another setting is out of its range.

    Reference:
        Zhong et al., "Improving Calibration for Long-Tailed Recognition", CVPR 2021, sections 3.2 and 3.3.
    """

    stage = 2
    on_features = False  # whether it is trained on the backbone's features, resampled, in the place of images

    def __init__(
        self,
        backbone: nn.Module,
        classifier: nn.Module,
        loss: nn.Module,
        *,
        stage1_classifier: nn.Module,
        shift_bn: bool | Sequence[str],
        lr_factor: float,
        max_epochs: int,
        lr: float,
        weight_decay: float,
        schedule: Any,
        optimizer: Callable[..., torch.optim.Optimizer] = SGD,
        schedule_per: str = "epoch",
        seed: int = 0,
    ) -> None:
        if not lr_factor >= 0:
            raise ValueError(f"stage2.lr_factor {lr_factor} must be >= 0")
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
        if not isinstance(shift_bn, bool | list | tuple):
            raise ValueError(f"stage2.shift_bn {shift_bn!r} must be true, false or a list of modules of the backbone")
        names = () if isinstance(shift_bn, bool) else shift_bn
        self.shift_bn = shift_bn
        self._shifted = [module_of(backbone, name, "stage2.shift_bn") for name in names]
        self._shifted += [backbone] if shift_bn is True else []
        self.lr_factor = lr_factor
        self._continued = {id(p) for p in stage1_classifier.parameters()}

    def begin(self) -> None:
        """Freeze the backbone, which stage 1 has trained by now."""
        self.backbone.requires_grad_(False)
        super().begin()

    def features(self, images: Tensor) -> Tensor:
        """Compute the frozen backbone's features, without a graph; resampled ones (B, D) stay as they are."""
        if self.on_features and self.training:
            return images
        with torch.no_grad():
            return self.backbone(images)

    def train(self, mode: bool = True) -> "ClassifierModule":
        """Keep the frozen backbone in evaluation mode, its batch norm apart where it shifts."""
        super().train(mode)
        self.backbone.eval()
        for part in self._shifted:
            for module in part.modules():
                if isinstance(module, _BatchNorm):
                    module.train(mode)
        return self

    def param_groups(self) -> Iterable[dict[str, Any]]:
        """The classifier's parameters: those of stage 1 at lr * lr_factor, the new ones at lr."""
        trained = [p for p in self.classifier.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if id(p) in self._continued], "lr": self.lr * self.lr_factor},
            {"params": [p for p in trained if id(p) not in self._continued]},
        ]
        return [group for group in groups if group["params"]]
