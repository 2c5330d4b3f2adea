"""What comes after the training is tried before it."""

import math
import sys
from types import ModuleType

import pytest
import torch
from omegaconf import OmegaConf

from lt_calib.errors import InputError
from lt_calib.job.rehearse import made_up
from lt_calib.posthoc.base import Calibrator
from lt_calib.run import run
from lt_calib.settings import check
from tests.conftest import CONF, TINY, built, compose_config, plugins
from tests.test_run import FIGURES

HELD_OUT = "dataset.val_per_class=10"


@pytest.fixture
def mine(monkeypatch):
    """A module of parts that fail when they are used."""
    module = ModuleType("mine")

    def vector(probs, targets):
        return probs.mean(dim=0)

    def broken(probs, targets):
        raise KeyError("no such thing")

    def undefined(probs, targets):
        return torch.tensor(float("nan"))

    class Broken(Calibrator):
        def search(self, logits, targets, weights):
            raise RuntimeError("no optimum")

    class Unwritable(Calibrator):
        def search(self, logits, targets, weights):
            pass

        def probs(self, logits):
            return torch.softmax(logits, dim=1)

        def settings(self):
            return {"t": torch.ones(1)}

    for part in (vector, broken, undefined, Broken, Unwritable):
        part.__module__ = "mine"
        setattr(module, part.__name__, part)
    monkeypatch.setitem(sys.modules, "mine", module)


@pytest.mark.parametrize(("settings", "said"), [
    (["metric.ece.n_bins=0"], r"metric.ece fails .* n_bins 0 must be >= 1"),
    (["metric=[acc,ace]", "metric.ace.n_bins=-1"], r"metric.ace fails .* n_bins -1"),
    (["metric.ece_floor.draws=0"], "metric.ece_floor fails .* draws 0"),
    (["metric=[]"], "nothing would be measured"),
    (["metric.mce.n_bins=20"], r"metric.mce.n_bins=20.* one binning. Set metric.ece.n_bins"),
    (["+metric.m._target_=mine.vector", "+metric.m._partial_=true"], "metric.m fails"),
    (["+metric.m._target_=mine.broken", "+metric.m._partial_=true"], "metric.m fails .*no such thing"),
    ([HELD_OUT, "posthoc=temperature", "posthoc._target_=mine.Broken"], "posthoc fails .*no optimum"),
    ([HELD_OUT, "posthoc=temperature", "posthoc._target_=mine.Unwritable"], "posthoc fails .*not JSON"),
])  # fmt: skip
def test_what_would_fail_at_the_end_is_found_at_the_start(settings, said, mine):
    with pytest.raises(InputError if "one binning" not in said else ValueError, match=said):
        built(*TINY, *settings)


@pytest.mark.parametrize("metrics", ["acc,nll", "aurc"])
def test_any_metrics_are_enough(metrics, tmp_path, monkeypatch):
    """With a validation part, a calibrator and figures; none of those needs another metric than is asked."""
    drawn = set()
    monkeypatch.setattr("lt_calib.figure.of_run.save", lambda figure, path: drawn.add(path.stem) or [path])
    settings = ["stage2=awabs", "stage2.max_epochs=1", HELD_OUT, "posthoc=temperature", "figures=true"]
    results = run(compose_config(*TINY, *settings, f"metric=[{metrics}]"), tmp_path)
    asked = metrics.split(",")
    assert all(key.startswith(tuple(asked)) for key in results["stage2"]["val"])
    assert drawn == {name for name in FIGURES if name != "groups" or "acc" in asked}


def test_a_value_that_is_not_finite_is_none_and_costs_no_run(mine, tmp_path):
    undefined = ["+metric.m._target_=mine.undefined", "+metric.m._partial_=true"]
    assert run(compose_config(*TINY, *undefined), tmp_path)["stage1"]["test"]["m"] is None
    assert (tmp_path / "results.json").exists()


@pytest.mark.parametrize("k", [1, 2, 3, 700])
def test_made_up_predictions_are_those_of_a_calibrated_model(k):
    logits, targets = made_up(k)
    probs = torch.softmax(logits, dim=1)
    assert targets.bincount(minlength=k).max() == 3
    if k > 2:
        assert float((probs.argmax(1) == targets).double().mean()) == pytest.approx(2 / 3)
        assert float(probs.max(1).values.mean()) == pytest.approx(2 / 3, abs=1e-5)
        nll = (2 * math.log(3 / 2) + math.log(3)) / 3
        assert float(torch.nn.functional.cross_entropy(logits, targets)) == pytest.approx(nll, abs=1e-5)


@pytest.mark.parametrize("name", plugins("posthoc"))
def test_every_calibrator_takes_them_and_keeps_what_is_predicted(name):
    cfg = OmegaConf.create({"posthoc": OmegaConf.load(CONF / "posthoc" / f"{name}.yaml")})
    logits, targets = made_up(20)
    probs = check.make(cfg, "posthoc", 20, class_counts=[20 - c for c in range(20)]).fit(logits, targets)(logits)
    assert torch.equal(probs.argmax(dim=1), logits.argmax(dim=1))
