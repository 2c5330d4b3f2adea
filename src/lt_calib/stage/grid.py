"""Stage 2 at many settings in one pass: the backbone is frozen, so that its features serve all of them."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from lt_calib.stage.classifier import ClassifierModule
from lt_calib.stage.whole_batch import whole_batch


class GridModule(ClassifierModule):
    """H classifiers on one backbone, each with a loss, learning-rate factor and weight decay of its own.

    They share the sampler's batches, and each ends as it would alone: its gradient is that of its own loss, and SGD
    moves every number by itself. :attr:`predicted` holds features after a test, see :meth:`point_logits`.

    Args:
        own: The stage at the experiment's own settings, whose classifier all points start from.
        losses: H losses of one class, that do not change with the epoch.
        lr_factors: H numbers > 0.
        weight_decays: H numbers >= 0.
    """

    def __init__(
        self,
        own: ClassifierModule,
        losses: Sequence[nn.Module],
        lr_factors: Sequence[float],
        weight_decays: Sequence[float],
    ) -> None:
        super().__init__(
            own.backbone,
            own.classifier,
            own.loss,
            stage1_classifier=own.classifier,
            shift_bn=own.shift_bn,
            lr_factor=own.lr_factor,
            max_epochs=own.max_epochs,
            lr=own.lr,
            weight_decay=own.weight_decay,
            schedule=own.schedule,
            momentum=own.momentum,
        )
        trained = {name: p for name, p in own.classifier.named_parameters() if p.requires_grad}
        own.classifier.requires_grad_(False)  # the points' copies are trained, which DDP wants to know
        self.names = list(trained)
        self.continued = {name for name, p in trained.items() if id(p) in own._continued}
        same: dict[tuple[float, float], list[int]] = {}  # points of one rate and decay are one stacked parameter
        for k, setting in enumerate(zip(lr_factors, weight_decays, strict=True)):
            same.setdefault(setting, []).append(k)
        self.settings = list(same)
        self.points = list(same.values())
        self.stacks = nn.ModuleList(
            nn.ParameterList(p.detach().repeat(len(points), *[1] * p.ndim) for p in trained.values())
            for points in self.points
        )
        self.buffer_names = [name for name, _ in own.loss.named_buffers()]
        for g, points in enumerate(self.points):
            for i, name in enumerate(self.buffer_names):
                stacked = torch.stack([dict(losses[k].named_buffers())[name] for k in points])
                self.register_buffer(f"loss_{g}_{i}", stacked)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features (B, D) float32, which all points share."""
        return self.features(images).float()

    def training_step(self, batch: list[Tensor], batch_idx: int) -> dict[str, Any]:
        """Compute the sum of all points' losses; their mean is what the history shows."""
        images, targets = batch
        features = self(images)
        if self.over_several:
            features, targets = whole_batch(features, targets)
        with torch.autocast(images.device.type, enabled=False):
            losses = torch.cat([self._losses(g, features, targets) for g in range(len(self.points))])
        return {"loss": losses.sum(), "shown": losses.detach().mean(), "images": len(targets)}

    def _losses(self, group: int, features: Tensor, targets: Tensor) -> Tensor:
        stacks: Any = self.stacks[group]
        parameters = dict(zip(self.names, stacks, strict=True))
        buffers = {name: getattr(self, f"loss_{group}_{i}") for i, name in enumerate(self.buffer_names)}

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
            logits = functional_call(self.classifier, parameters, (features,))
            return functional_call(self.loss, buffers, (logits, targets))

        return vmap(one)(parameters, buffers)

    def weights_of(self, point: int) -> dict[str, Tensor]:
        """Return one point's trained parameters."""
        group = next(g for g, points in enumerate(self.points) if point in points)
        row = self.points[group].index(point)
        stacks: Any = self.stacks[group]
        return {name: stack.detach()[row] for name, stack in zip(self.names, stacks, strict=True)}

    def point_logits(self, point: int, features: Tensor) -> Tensor:
        """Compute one point's logits (N, K) float32 from features (N, D) float32."""
        with torch.no_grad():
            return functional_call(self.classifier, self.weights_of(point), (features,)).float()

    def adopt(self, point: int) -> None:
        """Give one point's parameters to the classifier that all started from."""
        parameters = dict(self.classifier.named_parameters())
        with torch.no_grad():
            for name, value in self.weights_of(point).items():
                parameters[name].copy_(value)

    def on_validation_epoch_end(self) -> None:
        """While training, the history shows the first point's logits."""
        super().on_validation_epoch_end()
        if self.predicted is not None and len(self.predicted[1]):
            features, targets = self.predicted
            self.predicted = self.point_logits(0, features.to(self.device)).cpu(), targets

    def on_test_epoch_end(self) -> None:
        """After training, the features are kept, which every point's logits come from."""
        super().on_validation_epoch_end()

    def param_groups(self) -> Iterable[dict[str, Any]]:
        """Every stack with the rate and decay of its points."""
        for (factor, decay), stacks in zip(self.settings, self.stacks, strict=True):
            by_name = dict(zip(self.names, stacks, strict=True))  # type: ignore[arg-type]
            old = [p for name, p in by_name.items() if name in self.continued]
            new = [p for name, p in by_name.items() if name not in self.continued]
            if old:
                yield {"params": old, "lr": self.lr * factor, "weight_decay": decay}
            if new:
                yield {"params": new, "weight_decay": decay}
