"""What would stay as it was drawn is refused, and what a stage is too short for is said, before anything trains."""

import logging
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from torch import nn

from lt_calib.augment.bbn import PairBBN
from lt_calib.augment.cmo import CMO
from lt_calib.errors import InputError
from lt_calib.job.build import build, settle
from lt_calib.loss.cross_entropy import CrossEntropy
from lt_calib.loss.drw import DRW
from lt_calib.model.classifier import Linear
from lt_calib.sampler.progressively_balanced import ProgressivelyBalanced
from lt_calib.training.schedule import constant, cosine, phases_of, warmup_multistep
from tests.conftest import TINY, compose_config


def built(*words: str) -> None:
    """Build a job; settings go into a composition that the tests share, since one takes a good part of a second."""
    parts = [word for word in words if word.startswith(("+", "augment=autoaugment")) or "@" in word]
    cfg = compose_config(*TINY, *parts)
    for word in (word for word in words if word not in parts):
        key, _, value = word.partition("=")
        OmegaConf.update(cfg, key, yaml.safe_load(value), merge=False)
    build(settle(cfg, Path("unused")), Path("unused"))


LAYERS = "[conv1,bn1,layer1,layer2,layer3]"


class Anew(Linear):
    """A classifier of one's own that begins anew and says so nowhere."""

    def __init__(self, classifier: nn.Linear) -> None:
        super().__init__(classifier.in_features, classifier.out_features)


class Prepared(Anew):
    """One that takes its weights from the features when its stage begins."""

    def prepare(self, classifier, features) -> None: ...


class Pretrained(nn.Module):
    """A backbone whose weights are not drawn."""

    num_features = 4

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(in_channels, 4))

    def forward(self, images):
        return images.mean(dim=(2, 3)) @ self.weight


OWN = f"stage2.classifier._target_={__name__}"
PRETRAINED = ["model.backbone={_target_: " + f"{__name__}.Pretrained" + "}", "stage1.max_epochs=0"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["+experiment=crt", "stage2.max_epochs=0"], r"stage2\.classifier CRT begins from .* random.*max_epochs"),
        (["+experiment=crt", "stage2.lr=0"], r"stage2\.classifier CRT begins from weights .* random"),
        (["+experiment=mixup_crt", "stage2.max_epochs=0"], r"stage2\.classifier CRT"),
        (["+experiment=crt", f"{OWN}.Anew", "stage2.max_epochs=0"], r"stage2\.classifier Anew begins"),
        (
            ["+experiment=tau_norm", "stage2.max_epochs=2"],
            r"stage2 has no parameter to train: set stage2\.max_",
        ),
        (["stage1.max_epochs=0"], r"stage1 trains nothing of the backbone, whose weights are drawn at random"),
        (["stage1.lr=0"], r"stage1 trains nothing of the backbone"),
        ([f"stage1.freeze={LAYERS}"], r"stage1 trains nothing of the backbone"),
        (["stage1.backbone_lr_factor=0"], r"stage1 trains nothing of the backbone"),
        (PRETRAINED, r"stage1 trains nothing of the classifier"),
    ],
)
def test_what_stays_random_is_refused(words, said):
    with pytest.raises(InputError, match=said):
        built(*words)


@pytest.mark.parametrize(
    "words",
    [
        ["+experiment=tau_norm"], ["+experiment=ncm"], ["+experiment=logit_adjustment"],
        ["+experiment=lws", "stage2.max_epochs=0"], ["+experiment=cutmix_awabs", "stage2.max_epochs=0"],
        ["+experiment=cutmix_awabs", "stage2.lr=0"], ["+experiment=crt", "stage2.max_epochs=1"],
        ["+experiment=crt", f"{OWN}.Prepared", "stage2.max_epochs=0"], ["stage1.freeze=[conv1]"],
    ],
)  # fmt: skip
def test_what_is_made_without_training_or_goes_on_is_not(words):
    built(*words)


def test_a_pretrained_backbone_needs_no_stage_1(caplog):
    built(*PRETRAINED, "+experiment=ncm")
    assert "Stage 1 trains nothing of the classifier: its numbers are those of a random one" in caplog.text


def test_each_part_says_how_long_its_phases_last():
    """By hand: 0.8 of 4 epochs is 3.2, and the last epoch is number 3."""
    drw = {epochs: DRW([3, 2], loss=CrossEntropy, max_epochs=epochs) for epochs in (1, 4, 5, 200)}
    assert [loss.phases["re-weighting"] for loss in drw.values()] == [0, 0, 1, 40]
    for epochs, loss in drw.items():  # what it does in each epoch
        held = 0
        for epoch in range(epochs):
            loss.set_epoch(epoch)
            held += not torch.equal(loss.loss.weights, torch.ones(2))
        assert held == loss.phases["re-weighting"]
    assert CMO(200).phases == {
        "mixing": 193, "the first epochs without mixing": 4, "the last epochs without mixing": 3
    }  # fmt: skip
    assert CMO(3, first=0.5, last=0.5).phases["mixing"] <= 0
    assert CMO(3, first=0, last=0).phases == {"mixing": 3}
    assert [PairBBN(epochs).phases["re-balancing"] for epochs in (1, 2)] == [0, 1]
    balanced = [
        ProgressivelyBalanced(torch.tensor([0, 0, 1]), num_classes=2, seed=0, max_epochs=epochs) for epochs in (1, 3)
    ]
    assert [sampler.phases["balancing"] for sampler in balanced] == [0, 2]


def test_a_schedule_says_how_long_its_phases_last():
    steps = partial(warmup_multistep, warmup=0.025, milestones=[0.8, 0.9], gamma=0.1)
    first, second = "the step at milestone 0.8", "the step at milestone 0.9"
    assert phases_of(steps, 200) == {"warm-up": 5, first: 20, second: 20}
    assert phases_of(steps, 20) == {"warm-up": 0, first: 2, second: 2}
    assert phases_of(steps, 5) == {"warm-up": 0, first: 1, second: 0}
    for epochs in (4, 5, 20, 200):
        rates = [steps(epoch, epochs) for epoch in range(epochs)]
        lasting = [sum(abs(rate - wanted) < 1e-9 for rate in rates) for wanted in (0.1, 0.01)]
        assert lasting == [phases_of(steps, epochs)[first], phases_of(steps, epochs)[second]]
    assert phases_of(partial(cosine, warmup=0.0), 3) == phases_of(constant, 3) == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["+experiment=ldam_drw", "stage1.max_epochs=4"], "re-weighting of DRW"),
        (["+experiment=remix_drw", "stage1.max_epochs=4"], "re-weighting of DRW"),
        (["+experiment=cmo", "stage1.max_epochs=2", "augment.first=0.5", "augment.last=0.5"], "mixing of CMO"),
        (["+experiment=progressively_balanced", "stage1.max_epochs=1"], "balancing of ProgressivelyBalanced"),
        (["stage1.max_epochs=4"], "the step at milestone 0.8 of the schedule"),
        (["augment=autoaugment_cutmix", "augment@augment.then=cmo", "stage1.max_epochs=20"], "without mixing of CMO"),
    ],
)
def test_what_a_stage_is_too_short_for_is_said(caplog, words, said):
    built(*words)
    (line,) = [record.message for record in caplog.records if "is too short for" in record.message]
    assert said in line
    assert line.startswith("stage1.max_epochs=")


@pytest.mark.parametrize("words", [["stage1.max_epochs=20"], ["+experiment=ldam_drw", "stage1.max_epochs=200"]])
def test_nothing_is_said_where_every_phase_is_reached(caplog, words):
    with caplog.at_level(logging.WARNING):
        built(*words)
    assert "is too short for" not in caplog.text
