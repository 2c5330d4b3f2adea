"""Stage 2 at many settings in one pass: the backbone is frozen, so that its features serve all of them."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from lt_calib.stage.classifier import ClassifierModule
from lt_calib.training.finite import all_finite
from lt_calib.training.whole_batch import whole_batch


class GridModule(ClassifierModule):
    """H classifiers on one backbone, each with a loss, learning-rate factor and weight decay of its own.

    They share the sampler's batches, and each ends as it would alone: its gradient is that of its own loss, and SGD
    moves every number by itself. A point that diverges does so alone, see :attr:`diverged`. Prediction gives features,
    see :meth:`point_logits`.

    All points are one stacked parameter, whatever their rates and decays. With momentum mu, SGD's
    v <- mu v + (g + decay w), w <- w - lr factor v,  is of u = factor v
    u <- mu u + factor (g + decay w), w <- w - lr u.

    Args:
        own: The stage at the experiment's own settings, whose classifier all points start from.
        losses: H losses of one class, that do not change with the epoch.
        rates: H numbers >= 0, times the stage's lr, for all parameters.
        lr_factors: H numbers >= 0, for what continues from stage 1.
        weight_decays: H numbers >= 0.

    Attributes:
        diverged: (H,) int64, the epoch, 1-based, in which a point's loss or weights were first not finite; 0 for none.
    """

    diverged: Tensor
    rates: Tensor
    factors: Tensor
    decays: Tensor

    def __init__(
        self,
        own: ClassifierModule,
        losses: Sequence[nn.Module],
        rates: Sequence[float],
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
            optimizer=own.optimizer,
            schedule_per=own.schedule_per,
            seed=own.seed,
        )
        self.begin()
        trained = {name: p for name, p in own.classifier.named_parameters() if p.requires_grad}
        own.classifier.requires_grad_(False)  # the points' copies are trained, which DDP wants to know
        self.names = list(trained)
        self.continued = [id(p) in own._continued for p in trained.values()]
        self.stack = nn.ParameterList(p.detach().repeat(len(losses), *[1] * p.ndim) for p in trained.values())
        self.register_buffer("diverged", torch.zeros(len(losses), dtype=torch.int64))
        of_all, of_continued = (torch.tensor(x, dtype=torch.float32) for x in (rates, lr_factors))
        self.register_buffer("rates", of_all, persistent=False)
        self.register_buffer("factors", of_all * of_continued, persistent=False)
        self.register_buffer("decays", torch.tensor(weight_decays, dtype=torch.float32), persistent=False)
        self.buffer_names = [name for name, _ in own.loss.named_buffers()]
        for i, name in enumerate(self.buffer_names):
            stacked = torch.stack([dict(loss.named_buffers())[name] for loss in losses])
            self.register_buffer(f"loss_{i}", stacked)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features (B, D) float32, which all points share."""
        return self.features(images).float()

    def training_step(self, batch: list[Tensor], batch_idx: int) -> dict[str, Any]:
        """Compute the sum of all points' losses; the history shows the mean over those that have not diverged."""
        images, targets = batch
        features = self(images)
        if self.over_several:
            features, targets = whole_batch(features, targets)
        with torch.autocast(images.device.type, enabled=False):
            losses = self._losses(features, targets)
        values = losses.detach()
        well = self._note(values.isfinite())
        shown = torch.where(well, values, 0).sum() / well.sum()  # NaN where none is left, which ends the stage
        return {"loss": losses.sum(), "shown": shown, "images": len(targets)}

    def _note(self, finite: Tensor) -> Tensor:
        """Note which points (H,) bool are no longer finite, without waiting for the device; return which are well."""
        well = self.diverged == 0
        self.diverged.copy_(torch.where(well & ~finite, self.current_epoch + 1, self.diverged))
        return well & finite

    def weights_are_finite(self) -> Tensor:
        """Say whether the backbone's are, and those of one point at least; the others are noted."""
        sums = torch.stack([p.detach().reshape(len(p), -1).sum(dim=1) for p in self.stack]).sum(dim=0)
        well = self._note(sums.isfinite())
        return all_finite(self.backbone) & well.any()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Add each point's weight decay to its gradient, and multiply it by the point's rate."""
        for p, continued in zip(self.stack, self.continued, strict=True):
            assert p.grad is not None
            across = (-1, *[1] * (p.ndim - 1))
            p.grad.addcmul_(p.detach(), self.decays.view(across))
            p.grad.mul_((self.factors if continued else self.rates).view(across))

    def _losses(self, features: Tensor, targets: Tensor) -> Tensor:
        parameters = dict(zip(self.names, self.stack, strict=True))
        buffers = {name: getattr(self, f"loss_{i}") for i, name in enumerate(self.buffer_names)}

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
            logits = functional_call(self.classifier, parameters, (features,))
            return functional_call(self.loss, buffers, (logits, targets))

        return vmap(one)(parameters, buffers)

    def weights_of(self, point: int) -> dict[str, Tensor]:
        """Return one point's trained parameters."""
        return {name: stack.detach()[point] for name, stack in zip(self.names, self.stack, strict=True)}

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
        """While training, the history shows the logits of the first point that has not diverged."""
        super().on_validation_epoch_end()
        if self.predicted is not None and len(self.predicted[1]):
            features, targets = self.predicted
            first = int((self.diverged > 0).int().argmin())
            logits = self.point_logits(first, features.to(self.device)).cpu()
            self.predicted = (logits, targets) if bool(logits.isfinite().all()) else None

    def param_groups(self) -> Iterable[dict[str, Any]]:
        """The stack, whose decay and rates are in its gradient: see :meth:`on_before_optimizer_step`."""
        return [{"params": list(self.stack), "weight_decay": 0.0}]
