"""One table says what each setting matters for, and every comparison asks it."""

import pytest

from lt_calib.settings.schema import plain
from lt_calib.settings.table import (
    MATTERS,
    SAME_RUN,
    canonical,
    differing_keys,
    flatten,
    hash_of,
    matters_for,
    settings_for,
    settings_hash,
)
from tests.conftest import compose_config

PLAIN = ["+experiment=cutmix_awabs", "dataset=digits_lt"]
WORDS = {
    "folder", "stage1", "results", "seed", "given", "machine", "posthoc", "measure", "label", "recorded", "length",
    "recipe", "allowed",
}  # fmt: skip


def config(*overrides: str) -> dict:
    return plain(compose_config(*PLAIN, *overrides))


def test_the_words_are_those_that_the_table_explains():
    assert {word for words in MATTERS.values() for word in words.split()} == WORDS


def test_the_longest_key_that_fits_holds():
    assert matters_for("stage1.loss.gamma") == {"folder", "stage1"}
    assert matters_for("stage1.optimizer.momentum") == {"folder", "stage1", "recipe"}
    assert matters_for("stage2.loss.eps_head") == matters_for("whatever.comes") == {"folder", "results"}
    assert matters_for("logger.project") == matters_for("dataset") == frozenset()


@pytest.mark.parametrize(
    "same",
    [
        "metric=[acc,ece]", "dataset.eval_batch_size=100", "dataset.groups=[1,2]", "trainer.eval_every=1",
        "figures=false", "logger=wandb", "cache=off", "resume=off", "dataset.root=elsewhere",
    ],
)  # fmt: skip
def test_what_only_measures_or_records_is_neither_another_run_nor_another_row(same):
    one, other = config(), config(same)
    assert differing_keys(one, other) == []
    assert settings_hash(one) == settings_hash(other)
    assert settings_for(one, ("stage1",)) == settings_for(other, ("stage1",))


@pytest.mark.parametrize(
    ("key", "word", "same_row", "same_stage1"),
    [
        ("seed", "seed=1", True, False),
        ("trainer.compile", "trainer.compile=true", True, True),
        ("posthoc._target_", "posthoc=temperature", True, True),
        ("name", "name=mine", False, True),
        ("stage2.lr", "stage2.lr=0.2", False, True),
        ("stage1.lr", "stage1.lr=0.2", False, False),
        ("transform.padding", "transform.padding=2", False, False),
        ("augment.prob", "augment.prob=0.5", False, False),
        ("stage1.ckpt_path", "stage1.ckpt_path=a", True, True),
    ],
)
def test_what_makes_another_run_row_or_stage_1(key, word, same_row, same_stage1):
    one, other = config(), config(word)
    assert key in differing_keys(one, other, SAME_RUN)
    assert (settings_hash(one) == settings_hash(other)) == same_row
    assert (settings_for(one, ("stage1",)) == settings_for(other, ("stage1",))) == same_stage1


def test_what_is_allowed_makes_another_row_and_no_other_run():
    """A campaign goes on where its experiment has come to need the permission."""
    one, other = config(), config("allow_double_correction=true")
    assert differing_keys(one, other) == []
    assert settings_hash(one) != settings_hash(other)


def test_resampling_of_features_is_no_setting_of_stage_1():
    of = {space: config("resample=smote", f"resample.space={space}") for space in ("pixels", "features")}
    assert settings_for(of["features"], ("stage1",)) == settings_for(config(), ("stage1",))
    assert settings_for(of["pixels"], ("stage1",)) != settings_for(config(), ("stage1",))
    assert settings_hash(of["features"]) != settings_hash(config())


def test_equal_values_are_equal():
    assert settings_hash(config("stage2.loss.eps_tail=0")) == settings_hash(config("stage2.loss.eps_tail=0.0"))
    assert differing_keys(config("stage1.lr=1"), config("stage1.lr=1.0")) == []
    assert canonical([1.0, (2.0, 0.5)]) == [1, [2, 0.5]]
    assert canonical(True) is True
    assert canonical({"a": [-0.0, {"b": 2.0}]}) == {"a": [0, {"b": 2}]}
    assert hash_of(canonical([-0.0, 1e-1])) == hash_of(canonical([0, 0.1]))
    for one, other in ((True, 1), (False, 0), ([True], [1]), ("1", 1), (None, 0)):
        assert differing_keys({"stage1": {"a": one}}, {"stage1": {"a": other}}) == ["stage1.a"]
    assert differing_keys({"stage1": {"a": None}}, {"stage1": {}}) == []  # a new setting, that is not set
    assert canonical(1e300) == 1e300


def test_flatten():
    assert flatten({"a": {"b": {"c": 1}, "d": {}}, "e": [1]}) == {"a.b.c": 1, "e": [1]}
