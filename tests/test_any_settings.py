"""Any composition of settings either runs or is refused by a clear error. Slow: make test-all."""

import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.errors import HydraException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf.errors import OmegaConfBaseException

from lt_calib.dataset.digits import digits
from lt_calib.dataset.source import Source
from lt_calib.run import run
from tests.conftest import EXPERIMENTS, TINY, compose_config, plugins

PER_CLASS = 12  # images, of which 6 are tested on


@pytest.fixture(scope="module", autouse=True)
def few_digits():
    """A dozen digits a class, so that an epoch is a moment."""
    whole: Any = digits("")
    rows = torch.cat([torch.where(whole.train_targets == c)[0][:PER_CLASS] for c in range(10)])
    tested = torch.cat([torch.where(whole.test_targets == c)[0][: PER_CLASS // 2] for c in range(10)])
    few = Source(
        whole.train_images[rows], whole.train_targets[rows],
        whole.test_images[tested], whole.test_targets[tested], whole.class_names,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lt_calib.dataset.digits.digits", lambda root: few)
        yield


def number(low: float, high: float) -> st.SearchStrategy:
    """A number in the range that is meant, at its ends, or beyond them."""
    odd = [low, high, 0, 1, -1, 0.5, 1e9, math.nan, math.inf]
    return st.one_of(st.floats(low, high), st.sampled_from(odd))


def some(group: str) -> st.SearchStrategy:
    return st.sampled_from(plugins(group))


# Every setting is left as it is more often than not, so that compositions run as well as fail.
SETTINGS = {
    "dataset.if": number(1, 12),
    "dataset.val_per_class": st.integers(-1, 13),
    "dataset.batch_size": st.sampled_from([1, 7, 32, 1000, 0]),
    "dataset.eval_batch_size": st.sampled_from([1, 13, 1000, -3]),
    "dataset.groups": st.sampled_from(["by_count", "thirty_forty_thirty", "[0,10]", "[7,3]", "[0,0]", "halves"]),
    "dataset.padding": st.sampled_from([0, 4, 40, -1]),
    "dataset.size": st.sampled_from(["null", 32, 20, 1, 0, -1]),
    "dataset.split_seed": st.integers(-1, 3),
    "seed": st.integers(-1, 2**33),
    "stage1.lr": number(0, 0.1),
    "stage1.weight_decay": number(0, 0.01),
    "stage1.optimizer.momentum": number(0, 0.99),
    "optimizer@stage1.optimizer": st.sampled_from(["sgd", "adamw"]),
    "optimizer@stage2.optimizer": st.sampled_from(["sgd", "adamw"]),
    "schedule@stage1.schedule": some("schedule"),
    "schedule@stage2.schedule": some("schedule"),
    "stage1.schedule_per": st.sampled_from(["epoch", "step", "batch"]),
    "stage1.backbone_lr_factor": number(0, 1),
    "stage1.freeze": st.sampled_from(["[]", "[conv1]", "[conv1,layer1]", "[layer9]", "conv1"]),
    "stage1.max_epochs": st.sampled_from([0, 1, -1, 1.5]),
    "loss@stage1.loss": some("loss"),
    "sampler@stage1.sampler": some("sampler"),
    "sampler@stage2.sampler": some("sampler"),
    "loss@stage2.loss": some("loss"),
    "+stage2.loss.eps_head": number(0, 0.5),
    "+stage2.loss.eps_tail": number(0, 0.5),
    "+stage2.loss.form": st.sampled_from(["concave", "linear", "convex", "round"]),
    "+stage2.loss.target_space": st.sampled_from(["test", "train", "test_normalised", "both"]),
    "stage2.max_epochs": st.sampled_from([0, 1, -1]),
    "+stage2.lr_factor": number(0, 1),
    "+stage2.shift_bn": st.sampled_from([True, False, "maybe"]),
    "transform": some("transform"),
    "augment": some("augment"),
    "augment.size": number(0, 32),
    "resample": some("resample"),
    "posthoc": some("posthoc"),
    "model": some("model"),
    "trainer.precision": st.sampled_from(["auto", "32-true", "bf16-mixed", "64", "half"]),
    "trainer.eval_every": st.sampled_from([1, 2, 0, -1]),
    "allow_double_correction": st.booleans(),
    "+grid": st.sampled_from(["eps"]),
}


@st.composite
def compositions(draw: st.DrawFn) -> list[str]:
    """An experiment and up to six settings."""
    keys = draw(st.lists(st.sampled_from(list(SETTINGS)), max_size=6, unique=True))
    chosen = {key: draw(SETTINGS[key]) for key in keys}
    groups = [key for key in chosen if "." not in key.split("@")[0] and key not in ("seed", "allow_double_correction")]
    ordered = [*groups, *(key for key in chosen if key not in groups)]
    values = {key: str(value).lower() if isinstance(value, bool) else value for key, value in chosen.items()}
    return [f"+experiment={draw(st.sampled_from(EXPERIMENTS))}", *(f"{key}={values[key]}" for key in ordered)]


def clear(error: BaseException | None) -> bool:
    """Whether it, or what it was raised from, is an error of ours or of the configuration's own."""
    while error is not None:
        if isinstance(error, ValueError | HydraException | OmegaConfBaseException):
            return len(str(error)) > 20
        error = error.__cause__
    return False


def outcome(overrides: list[str]) -> Exception | None:
    """Run it in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(compose_config(*TINY, *overrides), Path(folder))
        except Exception as error:
            return error
        assert (Path(folder) / "results.json").exists()
    return None


@pytest.mark.slow
def test_300_compositions_run_or_are_refused():
    ended = {"ran": 0, "refused": 0}

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
    @given(compositions())
    def each(overrides: list[str]) -> None:
        error = outcome(overrides)
        assert error is None or clear(error), (overrides, repr(error))
        ended["refused" if error else "ran"] += 1

    each()
    assert min(ended.values()) > 50, ended  # or the compositions would show little
