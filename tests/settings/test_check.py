"""What is checked is what is built, by its signature."""

from typing import TYPE_CHECKING

import pytest

from lt_calib.errors import InputError
from lt_calib.loss.cross_entropy import CrossEntropy
from lt_calib.settings.check import check_keys, make, refuse_untrusted
from tests.conftest import compose_config

if TYPE_CHECKING:
    from collections.abc import Sequence


class OnlyForATypeChecker(CrossEntropy):
    """Its annotations cannot be resolved when it runs."""

    def __init__(self, class_counts: "Sequence[int]", *, gamma: float = 1.0, prior: "Sequence[float] | None" = None):
        super().__init__(class_counts)
        self.gamma = gamma


@pytest.mark.parametrize(
    "word",
    [
        "+trainer.max_epochs=5", "+trainer.callbacks=[]", "+stage1.sampler.seed=7", "+stage1.sampler.stage=2",
        "+stage1.sampler.targets=[1]", "+resample.seed=3", "+resample.images=3", "+stage2.classifier.corrected=true",
        "+stage2.classifier.prior=[1]", "+stage2.classifier.num_classes=3", "+stage1.seed=3", "+stage1.backbone=1",
        "+stage2.stage1_classifier=1", "+stage1.optimizer.lr=0.1", "+stage1.optimizer.params=[]",
        "+stage1.schedule.max_epochs=3", "+model.backbone.in_channels=3", "+model.classifier.num_classes=3",
        "+augment.class_counts=[1]", "+augment.partner.purpose=a", "+metric.ece.probs=1", "+posthoc.num_classes=3",
        "+dataset.imbalance_factor=3", "+logger.folder=a", "+stage1.loss.class_counts=[1]",
    ],
)  # fmt: skip
def test_what_the_run_gives_is_no_setting(word):
    parts = ["+experiment=logit_adjustment", "augment=unimix", "resample=over_sampling", "posthoc=temperature"]
    with pytest.raises(InputError, match=r"is set by the run itself|unknown setting"):
        check_keys(compose_config("dataset=digits_lt", *parts, word))


def test_annotations_that_only_a_type_checker_resolves_are_passed_over():
    own = f"stage1.loss._target_={OnlyForATypeChecker.__module__}.OnlyForATypeChecker"
    words = ["dataset=digits_lt", "loss@stage1.loss=cross_entropy", own]
    check_keys(compose_config(*words, "+stage1.loss.gamma=2"))
    with pytest.raises(InputError, match=r"stage1\.loss\.gama; did you mean gamma"):
        check_keys(compose_config(*words, "+stage1.loss.gama=2"))


def test_a_part_is_built_from_its_slot_alone():
    cfg = compose_config("dataset=digits_lt")
    with pytest.raises(AssertionError, match="of which no slot knows"):
        make(cfg, "stage1.loss", [3, 2], epochs=4)
    assert make(cfg, "stage1.loss", [3, 2], prior=None).weights.tolist() == [1, 1]


def test_without_what_the_run_gives_a_function_is_returned_with_its_settings():
    factor = make(compose_config("dataset=digits_lt"), "stage1.schedule")
    assert factor.keywords == {"warmup": 0.025, "milestones": [0.8, 0.9], "gamma": 0.1}
    assert factor(0, 200) == pytest.approx(1 / 5)


def shift(images, targets, generator, strength: float = 1.0):
    """A function may be an augmentation; one that mixes nothing in needs no partner."""
    return images + strength, targets


@pytest.mark.parametrize("partial", ["true", "false"])
def test_a_function_is_an_augmentation_whatever_its_yaml_says_of_partial(partial):
    own = ["augment=cutout", f"augment._target_={shift.__module__}.shift", f"+augment._partial_={partial}"]
    own += ["+augment.strength=2", "~augment.size", "~augment.prob"]
    cfg = compose_config("dataset=digits_lt", *own)
    check_keys(cfg)
    augment = make(cfg, "augment", class_counts=[1], then=None)
    assert augment(1.0, 0, None) == (3.0, 0)
    with pytest.raises(InputError, match=r"augment\.images is set by the run"):
        check_keys(compose_config("dataset=digits_lt", *own, "+augment.images=1"))


def test_code_from_outside_is_built_from_a_file_only_if_it_is_trusted():
    cfg = compose_config("dataset=digits_lt", "model.backbone._target_=mine.Net")
    with pytest.raises(InputError, match=r"run/config\.yaml names mine\.Net, which is code outside lt_calib.*--trust"):
        refuse_untrusted(cfg.model, "run/config.yaml")
    refuse_untrusted(cfg.model, "run/config.yaml", trust=True)
    refuse_untrusted(compose_config("dataset=digits_lt").model, "run/config.yaml")
    with pytest.raises(InputError, match="no part that a file may build"):
        refuse_untrusted(compose_config("model.backbone._target_=lt_calib.run.os.mkdir").model, "f", trust=True)
