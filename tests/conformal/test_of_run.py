"""Sets and thresholds of a run's folder, from its kept logits."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from lt_calib.conformal.accept import accept_run
from lt_calib.conformal.base import SetRule
from lt_calib.conformal.beside import Beside
from lt_calib.conformal.of_run import FITS, measure_run
from lt_calib.conformal.risk import Accepted
from lt_calib.errors import InputError
from lt_calib.job.results import RESULTS_SCHEMA
from lt_calib.predictor import BATCH, Predictor
from lt_calib.run import run
from tests.conftest import built, compose_config


def folder_of(path, splits: dict[str, tuple[np.ndarray, np.ndarray]]):
    arrays = {}
    for split, (logits, targets) in splits.items():
        arrays |= {f"stage1_{split}_logits": logits, f"{split}_targets": targets}
    np.savez(path / "predictions.npz", **arrays)
    dataset = {"class_counts": [9, 3], "groups": {"head": [0], "tail": [1]}}
    (path / "results.json").write_text(json.dumps({"schema": RESULTS_SCHEMA, "dataset": dataset}))
    (path / "config.yaml").write_text("{}")
    return path


def sample(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.RandomState(seed)
    targets = np.arange(n) % 2
    return (3 * np.eye(2)[targets] + draws.randn(n, 2)).astype(np.float32), targets


def test_sets_and_thresholds_are_kept_and_of_the_held_out_part_alone(tmp_path):
    folder = folder_of(tmp_path, {"val": sample(400, 0), "test": sample(300, 1)})
    found, warnings = measure_run(folder, ["marginal", "class_wise"], 0.1)
    assert found["stage1"]["marginal"]["marginal"]["coverage"] == pytest.approx(0.9, abs=0.06)
    accepted, _ = accept_run(folder, 0.05)
    assert accepted["stage1"]["test"]["accepted"] > 200
    assert warnings == []
    kept = json.loads((folder / "results.json").read_text())
    assert (kept["conformal"], kept["accepted"]) == (found, accepted)
    other = folder_of(tmp_path, {"val": sample(400, 0), "test": sample(50, 2)})
    again = measure_run(other, ["marginal"], 0.1)[0]["stage1"]["marginal"]["thresholds"]
    assert again == found["stage1"]["marginal"]["thresholds"]


def test_nothing_is_fitted_to_the_test_set(tmp_path):
    folder = folder_of(tmp_path, {"test": sample(30, 1)})
    for command in (lambda: measure_run(folder, ["marginal"], 0.1), lambda: accept_run(folder, 0.1)):
        with pytest.raises(InputError, match="val_per_class"):
            command()


def test_held_out_images_of_other_frequencies_are_told_of(tmp_path):
    logits, targets = sample(400, 0)
    folder = folder_of(tmp_path, {"val": (logits[targets == 0], targets[targets == 0]), "test": sample(30, 1)})
    assert len(measure_run(folder, ["marginal"], 0.1)[1]) == 1


def test_the_cells_of_an_image_are_of_its_own_logits():
    predictor = Predictor(nn.Identity(), nn.Identity(), None, [0.0], [1.0], (3,))
    rule = SetRule(torch.full((3,), -0.3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))
    beside = Beside(predictor.classifier, ["a", "b", "c"], rule, Accepted(0.1, 0.05, 0.6), [])
    rows = 3 * torch.randn(BATCH + 7, 3, generator=torch.Generator().manual_seed(0))
    for row, probs in zip(rows, predictor.predict_proba(rows), strict=True):
        p = torch.softmax(row.double(), dim=0)
        names = [name for name, value in zip("abc", p.tolist(), strict=True) if value >= 0.3]
        assert beside.cells(probs) == [" ".join(names), len(names), "yes" if p.max() >= 0.6 else "no"]


@pytest.mark.parametrize("method", sorted(FITS))
def test_a_run_fits_the_sets_that_it_is_asked_for(method, tmp_path, capsys):
    """As the command does afterwards, with the same figure."""
    drawn = f"figures={str(method == 'interpolated').lower()}"
    settings = (f"conformal={method}", "conformal.alpha=0.2", "stage1.max_epochs=2", "stage2.max_epochs=2", drawn)
    features = ("dataset=digits_features_lt", "dataset.val_per_class=10", "trainer.accelerator=cpu", "cache=off")
    results = run(compose_config(*features, "+experiment=frozen_awabs", *settings), tmp_path)
    assert "each image gets a list of" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "figures/sets.png").exists() == (method == "interpolated")
    found, _ = measure_run(tmp_path, [method], 0.2)
    assert results["conformal"] == found


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["conformal=marginal"], "none are held out: add dataset.val_per_class=20"),
        (["conformal=marginal", "conformal.alpha=1", "dataset.val_per_class=10"], "alpha 1 must be > 0 and < 1"),
        (["conformal=interpolated", "conformal.weight=2", "dataset.val_per_class=10"], "conformal.weight=2 must be"),
        (["conformal=marginal", "conformal.method=best", "dataset.val_per_class=10"], "conformal.method=best must be"),
        (["conformal=marginal", "+conformal.alfa=1", "dataset.val_per_class=10"], "unknown setting conformal.alfa"),
    ],
)
def test_sets_that_cannot_be_are_refused_before_anything_trains(settings, said):
    with pytest.raises(ValueError, match=said):
        built("dataset=digits_features_lt", "+experiment=frozen_ce", "trainer.accelerator=cpu", *settings)
