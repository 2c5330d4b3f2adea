"""One binning for everything that stands beside the ECE."""

from functools import partial
from typing import Any

import pytest
import torch

from lt_calib.figure.of_run import figures_of
from lt_calib.job.results import assemble
from lt_calib.measure.binning import bins_of
from lt_calib.measure.per_class import per_class
from lt_calib.metric.ece import bin_sums, expected_calibration_error
from lt_calib.metric.ece_floor import calibration_error_floor
from lt_calib.settings import check
from tests.conftest import compose_config
from tests.metric.conftest import labels, soft

ALL = {"ece", "ece_floor", "ece_debiased", "mce", "rmsce", "ace", "cece", "brier_split"}


def metrics(*settings: str) -> dict[str, Any]:
    cfg = compose_config("dataset=digits_lt", *settings)
    return {name: check.make(cfg, f"metric.{name}") for name in cfg.metric}


@pytest.mark.parametrize("n_bins", [15, 100])
def test_five_percent_of_calibrated_models_lie_above_the_floor_that_stands_beside_their_ece(n_bins):
    made = metrics(f"metric.ece.n_bins={n_bins}")
    draws = torch.Generator().manual_seed(1)
    above, models = 0, 400
    for _ in range(models):
        probs = torch.softmax(2 * torch.randn(150, 5, generator=draws), dim=1)
        targets = torch.multinomial(probs, 1, generator=draws)[:, 0]
        above += bool(made["ece"](probs, targets) > made["ece_floor"](probs, targets, draws=100).q95)
    assert abs(above / models - 0.05) < 3 * (0.05 * 0.95 / models) ** 0.5


def test_the_ece_sets_the_bins_of_all():
    found = {
        name: m.keywords["n_bins"] for name, m in metrics("metric.ece.n_bins=100").items() if "n_bins" in m.keywords
    }
    assert set(found) >= ALL
    assert set(found.values()) == {100}
    assert bins_of(metrics("metric.ece.n_bins=100")) == 100
    assert bins_of(metrics("metric.ece.n_bins=100", "metric.ace.n_bins=5")) == 100  # of bins of its own
    assert bins_of(metrics("metric=[acc,mce,ece_floor]")) == bins_of(metrics("metric=[acc]")) == 15
    assert bins_of(metrics("metric=[mce]", "metric.mce.n_bins=7")) == 7


@pytest.mark.parametrize("name", ["ece_floor", "ece_debiased", "mce", "rmsce"])
def test_another_binning_beside_the_ece_is_refused(name):
    with pytest.raises(ValueError, match=rf"metric.{name}.n_bins=20.* one binning"):
        bins_of(metrics(f"metric.{name}.n_bins=20"))


def test_the_per_class_ece_and_the_diagrams_have_it_too(groups):
    probs, targets = soft(0, 400, 5), labels(1, 400, 5)
    record = {"name": "n", "n_bins": 100, "dataset": {
        "name": "d", "imbalance_factor": 1, "groups": groups, "class_counts": [9] * 5,
    }, "environment": {}}  # fmt: skip
    predictions = {"stage1": {"test": (probs.log(), targets)}}
    fits = {"stage1": {"epochs": 1}}
    results = assemble(record, fits, predictions, {"ece": partial(expected_calibration_error, n_bins=100)})
    rows = targets == 2
    wanted = float(expected_calibration_error(probs[rows], targets[rows], 100))
    assert results["stage1"]["test_per_class"]["ece"][2] == pytest.approx(wanted, abs=1e-6)
    assert per_class(probs, targets)["ece"][2] != pytest.approx(wanted, abs=1e-3)
    figure: Any = figures_of(results, predictions)["stage1_reliability"]()
    heights = [bar.get_height() for bar in figure.axes[1].patches]
    assert heights == bin_sums(probs, targets, 100).count.tolist()
    floor = calibration_error_floor(probs, targets, 100)
    assert f"ECE {100 * results['stage1']['test']['ece']:.2f} %" in figure.axes[0].texts[0].get_text()
    assert f"95 % below {100 * float(floor.q95):.1f}" in figure.axes[0].texts[0].get_text()
    grouped: Any = figures_of(results, predictions)["stage1_group_reliability"]()
    assert len(grouped.axes[3].patches) == 100
