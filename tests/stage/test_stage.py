import copy

import pytest
import torch
from lightning import Callback
from torch import nn

from lt_calib.build import build_trainer
from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.dataset.digits import digits
from lt_calib.loss.balanced_softmax import BalancedSoftmax
from lt_calib.model.classifier import LearnableWeightScaling, Linear
from lt_calib.sampler.instance_balanced import InstanceBalanced
from lt_calib.stage.classifier import ClassifierModule
from lt_calib.stage.representation import RepresentationModule
from lt_calib.stage.schedule import cosine


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
    data.draw_with(InstanceBalanced(data.splits["train"][1], num_classes=10, seed=0))
    return data


def stage2(shift_bn: bool) -> ClassifierModule:
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
def test_stage2_moves_the_classifier_and_bn_statistics_only_by_choice(composed, data, shift_bn):
    module = stage2(shift_bn)
    before = copy.deepcopy(module.state_dict())
    cfg = composed("dataset=digits_lt", "trainer.precision=32-true", "trainer.accelerator=cpu")
    build_trainer(cfg, 1, []).fit(module, datamodule=data)
    moved = {k for k, v in module.state_dict().items() if not torch.equal(v, before[k])}
    statistics = {f"backbone.bn.{k}" for k in ("running_mean", "running_var", "num_batches_tracked")}
    classifier = {"classifier.scale", "classifier.classifier.weight", "classifier.classifier.bias"}
    assert moved == (classifier | statistics if shift_bn else classifier)


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


def test_set_epoch_reaches_sampler_loss_and_augmentation(composed, data):
    from lt_calib.stage.batch_augment import BatchAugment

    epochs, drawn = [], []

    class Loss(BalancedSoftmax):
        def set_epoch(self, epoch):
            epochs.append(("loss", epoch))

    class Augment:
        def set_epoch(self, epoch):
            epochs.append(("augment", epoch))

        def __call__(self, images, targets, generator, partner=None):
            assert targets.shape == (len(images), 10)
            epochs.append(("sampler", data.sampler.epoch))
            drawn.append(targets.argmax(1))
            return images, targets

    module = RepresentationModule(
        Small(), Linear(4, 10), Loss([10] * 10), max_epochs=2, lr=0.1, weight_decay=0.0, schedule=cosine
    )
    cfg = composed("dataset=digits_lt", "trainer.precision=32-true", "trainer.accelerator=cpu")
    build_trainer(cfg, 2, [BatchAugment(Augment(), num_classes=10, seed=0)]).fit(module, datamodule=data)
    assert set(epochs) == {(part, epoch) for part in ("loss", "augment", "sampler") for epoch in (0, 1)}
    wanted = []
    for epoch in (0, 1):
        data.sampler.set_epoch(epoch)
        wanted.append(data.splits["train"][1][list(data.sampler)])
    assert torch.equal(torch.cat(drawn), torch.cat(wanted))  # each epoch its own permutation


def test_what_is_tested_are_the_classifiers_logits_without_what_the_loss_adds():
    module = RepresentationModule(
        Small(), Linear(4, 2), BalancedSoftmax([99, 1]), max_epochs=1, lr=0.1, weight_decay=0.0, schedule=cosine
    ).eval()
    images = torch.rand(4, 3, 32, 32)
    module.validation_step([images, torch.zeros(4, dtype=torch.int64)], 0)
    module.on_validation_epoch_end()
    assert module.predicted is not None
    assert torch.equal(module.predicted[0], module.classifier(module.backbone(images)))


def test_the_optimiser_and_every_epochs_rate_are_the_settings(composed, data):
    factors, seen = [0.25, 0.5, 1.0, 0.1], set()
    module = RepresentationModule(
        Small(), Linear(4, 10), BalancedSoftmax([10] * 10), max_epochs=4, lr=0.2, weight_decay=3e-3, momentum=0.8,
        nesterov=True, schedule=lambda epoch, epochs: factors[epoch],
    )  # fmt: skip

    class Watch(Callback):
        def on_train_batch_start(self, trainer, *rest):
            group = trainer.optimizers[0].param_groups[0]
            rate = round(group["lr"], 9)
            seen.add((trainer.current_epoch, rate, group["momentum"], group["weight_decay"], group["nesterov"]))

    cfg = composed("dataset=digits_lt", "trainer.precision=32-true", "trainer.accelerator=cpu")
    build_trainer(cfg, 4, [Watch()]).fit(module, datamodule=data)
    assert seen == {(epoch, round(0.2 * factor, 9), 0.8, 3e-3, True) for epoch, factor in enumerate(factors)}


@pytest.mark.parametrize("lr_factor", [-0.1, float("nan")])
def test_a_rate_factor_that_would_climb(lr_factor):
    with pytest.raises(ValueError, match=r"stage2.lr_factor .* must be >= 0"):
        ClassifierModule(
            Small(), Linear(4, 10), nn.Identity(), stage1_classifier=Linear(4, 10), shift_bn=False, lr_factor=lr_factor,
            max_epochs=1, lr=0.1, weight_decay=0.0, schedule=cosine,
        )  # fmt: skip
