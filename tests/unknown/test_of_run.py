"""A run on the digits against noise."""

import csv
import json

import pytest
import torch
from PIL import Image

from lt_calib.errors import InputError
from lt_calib.predict import main as predict
from lt_calib.report.__main__ import main as report
from lt_calib.run import run
from lt_calib.unknown.of_run import kept_means, measure_unknown
from tests.conftest import TINY, compose_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    there = tmp_path_factory.mktemp("run")
    run(compose_config(*TINY, "stage2.max_epochs=1", "+experiment=balanced_softmax_awabs"), there)
    return there


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    there = tmp_path_factory.mktemp("noise")
    draws = torch.Generator().manual_seed(0)
    for i in range(30):
        pixels = torch.randint(0, 256, (32, 32, 3), generator=draws, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(there / f"{i}.png")
    (there / "broken.png").write_bytes(b"none")
    return there


def test_the_report_measures_every_score(folder, noise, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["report", str(folder), "--unknown", str(noise)])
    report()
    said = capsys.readouterr().out
    assert all(len(line) <= 80 for line in said.splitlines())
    assert "1 files could not be read" in said
    assert "Calibration is no detector of the unknown." in " ".join(said.split())
    kept = json.loads((folder / "results.json").read_text())["unknown"][str(noise.resolve())]
    assert (kept["known"], kept["unknown"], kept["skipped"]) == (500, 30, 1)
    assert set(kept) >= {"confidence", "max_logit", "energy", "feature_distance"}


def test_the_known_scores_are_of_the_test_set(folder, noise):
    """The slow twin of the confidence's: from what the run kept."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    from lt_calib.predicted import read_resized
    from lt_calib.predictor import load_run

    found, _ = measure_unknown(folder, noise)
    logits = torch.from_numpy(np.load(folder / "predictions.npz")["stage2_test_logits"])
    known = torch.softmax(logits, 1).amax(1)
    images = torch.stack([read_resized(noise / f"{i}.png", (3, 32, 32)) for i in range(30)])
    other = load_run(folder).predict_proba(images).amax(1)
    labels = np.repeat([0, 1], [500, 30])
    assert found["confidence"].auroc == pytest.approx(roc_auc_score(labels, -torch.cat([known, other])), abs=1e-3)


def test_predict_has_the_scores_as_columns(folder, noise, tmp_path, monkeypatch):
    measure_unknown(folder, noise)
    assert kept_means(folder) is not None
    monkeypatch.setattr("sys.argv", ["predict", str(folder), str(noise), "--scores", "--out", str(tmp_path / "p.csv")])
    predict()
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert len(rows) == 30
    for row in rows:
        assert float(row["energy"]) <= float(row["max_logit"]) <= float(row["energy"]) + 2.303  # log K apart at most
        assert 0 <= float(row["feature_distance"]) <= 2


def test_what_cannot_be_measured_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="is not there"):
        measure_unknown(folder, tmp_path / "none")
    with pytest.raises(InputError, match="no image could be read"):
        measure_unknown(folder, tmp_path)
