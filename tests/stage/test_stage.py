import copy
from functools import partial
from typing import Any

import pytest
import torch
from lightning import Callback
from torch import nn

from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.dataset.digits import digits
from lt_calib.loss.balanced_softmax import BalancedSoftmax
from lt_calib.model.classifier import LearnableWeightScaling, Linear
from lt_calib.sampler.instance_balanced import InstanceBalanced
from lt_calib.stage.base import StageModule
from lt_calib.stage.classifier import ClassifierModule
from lt_calib.stage.representation import RepresentationModule
from lt_calib.training.history import History
from lt_calib.training.schedule import cosine
from lt_calib.training.trainer import TrainerSettings

CPU = TrainerSettings(accelerator="cpu", precision="32-true")


class Small(nn.Module):
    num_features = 4

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=4)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, images):
        return self.bn(self.conv(images)).relu().mean(dim=(2, 3))


@pytest.fixture
def data() -> LongTailedDataModule:
    data = LongTailedDataModule(digits, imbalance_factor=10, batch_size=64)
    data.setup()
    return data


@pytest.fixture
def sampler(data) -> InstanceBalanced:
    return InstanceBalanced(data.targets("train"), num_classes=10, seed=0)


def fit(module: StageModule, data: LongTailedDataModule, sampler: InstanceBalanced, *callbacks: Callback) -> None:
    trainer = CPU.make(module.max_epochs, list(callbacks))
    module.begin()
    trainer.fit(module, train_dataloaders=data.loader("train", sampler))


def stage2(shift_bn: Any) -> ClassifierModule:
    linear = Linear(4, 10)
    return ClassifierModule(
        Small(),
        LearnableWeightScaling(linear),
        BalancedSoftmax([10] * 10),
        stage1_classifier=linear,
        shift_bn=shift_bn,
        lr_factor=0.5,
        max_epochs=1,
        lr=0.1,
        weight_decay=0.0,
        schedule=cosine,
    )


@pytest.mark.parametrize("shift_bn", [True, False])
def test_stage2_moves_the_classifier_and_bn_statistics_only_by_choice(data, sampler, shift_bn):
    module = stage2(shift_bn)
    before = copy.deepcopy(module.state_dict())
    fit(module, data, sampler)
    moved = {k for k, v in module.state_dict().items() if not torch.equal(v, before[k])}
    statistics = {f"backbone.bn.{k}" for k in ("running_mean", "running_var", "num_batches_tracked")}
    classifier = {"classifier.scale", "classifier.classifier.weight", "classifier.classifier.bias"}
    assert moved == (classifier | statistics if shift_bn else classifier)


def test_stage2_shifts_the_named_modules_batch_norm_alone(data, sampler):
    module: Any = stage2(["bn"])
    assert not module.train().backbone.training
    assert module.backbone.bn.training
    still: Any = stage2([])
    assert not still.train().backbone.bn.training
    with pytest.raises(ValueError, match=r"stage2\.shift_bn: the backbone has no module 'layer4'; it has .*bn"):
        stage2(["layer4"])
    with pytest.raises(ValueError, match="'maybe' must be true, false or a list"):
        stage2("maybe")


def test_stage2_learning_rates():
    groups = list(stage2(False).param_groups())
    assert groups[0]["lr"] == pytest.approx(0.05)
    assert len(groups[0]["params"]) == 2  # stage 1's weight and bias
    assert "lr" not in groups[1]  # the scale learns at lr
    assert len(groups[1]["params"]) == 1


def test_classifier_and_loss_are_float32_under_autocast():
    module = RepresentationModule(
        Small(), Linear(4, 10), BalancedSoftmax([10] * 10), max_epochs=1, lr=0.1, weight_decay=0.0, schedule=cosine
    )
    with torch.autocast("cpu", torch.bfloat16):
        logits = module(torch.rand(8, 3, 32, 32))
        loss = module.loss(logits, torch.arange(8))
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())  # not merely cast
    assert torch.equal(loss, module.loss(logits, torch.arange(8)))


def test_negative_epochs():
    with pytest.raises(ValueError, match=r"stage1.max_epochs -1"):
        RepresentationModule(
            Small(), Linear(4, 10), nn.Identity(), max_epochs=-1, lr=0.1, weight_decay=0.0, schedule=cosine
        )


def test_set_epoch_reaches_sampler_loss_and_augmentation(data, sampler):
    from lt_calib.training.batch_augment import BatchAugment

    epochs, drawn = [], []

    class Loss(BalancedSoftmax):
        def set_epoch(self, epoch):
            epochs.append(("loss", epoch))

    class Augment:
        def set_epoch(self, epoch):
            epochs.append(("augment", epoch))

        def __call__(self, images, targets, generator, partner=None):
            assert targets.shape == (len(images), 10)
            epochs.append(("sampler", sampler.epoch))
            drawn.append(targets.argmax(1))
            return images, targets

    module = RepresentationModule(
        Small(), Linear(4, 10), Loss([10] * 10), max_epochs=2, lr=0.1, weight_decay=0.0, schedule=cosine
    )
    fit(module, data, sampler, BatchAugment(Augment(), num_classes=10, seed=0))
    assert set(epochs) == {(part, epoch) for part in ("loss", "augment", "sampler") for epoch in (0, 1)}
    wanted = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        wanted.append(data.targets("train")[list(sampler)])
    assert torch.equal(torch.cat(drawn), torch.cat(wanted))  # each epoch its own permutation


def test_what_is_tested_are_the_classifiers_logits_without_what_the_loss_adds():
    module = RepresentationModule(
        Small(), Linear(4, 2), BalancedSoftmax([99, 1]), max_epochs=1, lr=0.1, weight_decay=0.0, schedule=cosine
    ).eval()
    images = torch.rand(4, 3, 32, 32)
    batch = [images, torch.zeros(4, dtype=torch.int64)]
    module.validation_step(batch, 0)
    module.on_validation_epoch_end()
    assert module.predicted is not None
    for logits in (module.predicted[0], module.predict_step(batch, 0)[0]):
        assert torch.equal(logits, module.classifier(module.backbone(images)))


def stage1(**settings: Any) -> RepresentationModule:
    usual = {"max_epochs": 4, "lr": 0.2, "weight_decay": 3e-3, "schedule": cosine}
    return RepresentationModule(Small(), Linear(4, 10), BalancedSoftmax([10] * 10), **(usual | settings))


class Watch(Callback):
    """Sees what each step is taken with."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys
        self.seen: list[tuple[Any, ...]] = []

    def on_train_batch_start(self, trainer, *rest):
        group = trainer.optimizers[0].param_groups[0]
        self.seen.append((trainer.current_epoch, round(group["lr"], 9), *(group[key] for key in self.keys)))


def test_the_optimizer_and_every_epochs_rate_are_the_settings(data, sampler):
    factors = [0.25, 0.5, 1.0, 0.1]
    sgd = partial(torch.optim.SGD, momentum=0.8, nesterov=True)
    watch, history = Watch("momentum", "weight_decay", "nesterov"), History(1, lambda z, y: {}, lambda row: None)
    fit(stage1(optimizer=sgd, schedule=lambda epoch, epochs: factors[epoch]), data, sampler, watch, history)
    assert set(watch.seen) == {(epoch, round(0.2 * factor, 9), 0.8, 3e-3, True) for epoch, factor in enumerate(factors)}
    assert [row["lr"] for row in history.rows] == pytest.approx([0.2 * factor for factor in factors])


@pytest.mark.parametrize("schedule_per", ["epoch", "step"])
def test_a_schedule_may_be_a_scheduler_of_torchs(data, sampler, schedule_per):
    watch, steps = Watch(), -(-len(sampler) // 64)
    halving = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    fit(stage1(max_epochs=2, schedule=halving, schedule_per=schedule_per), data, sampler, watch)
    counted = [t // (steps if schedule_per == "epoch" else 1) for t in range(2 * steps)]
    assert [rate for _, rate in watch.seen] == pytest.approx([0.2 * 0.5**t for t in counted], abs=1e-8)


def test_what_the_network_draws_is_of_the_seed_the_epoch_and_nothing_before(data, sampler):
    drawn: list[list[float]] = []

    class Draw(Callback):
        def on_train_batch_start(self, *rest):
            drawn[-1].append(float(torch.rand(())))

    for seed in (0, 0, 1):
        drawn.append([])
        torch.rand(len(drawn))  # what the process drew before must not matter
        fit(stage1(max_epochs=2, seed=seed), data, sampler, Draw())
    assert drawn[0] == drawn[1]
    assert len({*drawn[0], *drawn[2]}) == 2 * len(drawn[0])


@pytest.mark.parametrize("lr_factor", [-0.1, float("nan")])
def test_a_rate_factor_that_would_climb(lr_factor):
    with pytest.raises(ValueError, match=r"stage2.lr_factor .* must be >= 0"):
        ClassifierModule(
            Small(), Linear(4, 10), nn.Identity(), stage1_classifier=Linear(4, 10), shift_bn=False, lr_factor=lr_factor,
            max_epochs=1, lr=0.1, weight_decay=0.0, schedule=cosine,
        )  # fmt: skip
