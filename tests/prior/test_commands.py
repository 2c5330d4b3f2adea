"""A run on features: predicted, exported, reported and calibrated under another prior."""

import csv
import json
import shutil
from typing import Any

import numpy as np
import pytest
import torch

from lt_calib.calibrate import calibrate_folder
from lt_calib.calibrate import main as calibrate
from lt_calib.dataset.digits import digits_features
from lt_calib.errors import InputError
from lt_calib.export import described, export
from lt_calib.predict import main as predict
from lt_calib.predictor import Predictor, load_run
from lt_calib.prior.named import prior_of
from lt_calib.report.__main__ import main as report
from lt_calib.run import run
from tests.conftest import compose_config

DATA = ["dataset=digits_features_lt", "dataset.val_per_class=10"]
FAST = ["stage1.max_epochs=5", "trainer.precision=32-true", "trainer.accelerator=cpu", "figures=false", "cache=off"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run by plain cross-entropy, which is not corrected for n / N."""
    folder = tmp_path_factory.mktemp("ce")
    run(compose_config(*DATA, *FAST, "+experiment=frozen_ce"), folder)
    return folder


@pytest.fixture(scope="module")
def field() -> tuple[np.ndarray, np.ndarray]:
    """Test images of which class 9 is twenty times as frequent as class 0."""
    source: Any = digits_features()
    y = source.test_targets.numpy()
    kept = np.concatenate([np.flatnonzero(y == c)[: int(2 + 4.5 * c)] for c in range(10)])
    return source.test_images.reshape(len(y), -1).numpy()[kept], y[kept]


def words(monkeypatch, capsys, main, *arguments) -> str:
    monkeypatch.setattr("sys.argv", ["command", *map(str, arguments)])
    main()
    text = capsys.readouterr().out
    assert max(len(line) for line in text.splitlines() if "written" not in line) <= 80
    return text


def test_a_run_without_correction_is_re_weighed_from_n_over_n(trained, field):
    predictor, (x, y) = load_run(trained), field
    counts = torch.tensor(predictor.class_counts).double()
    torch.testing.assert_close(predictor.own_prior().prior, counts / counts.sum())
    own = predictor.predict_proba(x)
    torch.testing.assert_close(predictor.predict_proba(x, "train"), own)
    uniform = own / counts.float()
    torch.testing.assert_close(predictor.predict_proba(x, prior="uniform"), uniform / uniform.sum(1, keepdim=True))
    told = predictor.predict_proba(x, np.bincount(y).tolist())
    assert (told.argmax(1).numpy() == y).mean() > (own.argmax(1).numpy() == y).mean() + 0.02
    with pytest.raises(InputError, match="2 numbers for 10 classes"):
        predictor.predict_proba(x, [1, 2])
    with pytest.raises(InputError, match="load_run"):
        Predictor(torch.nn.Identity(), torch.nn.Identity(), None, [0.0], [1.0], (10,)).own_prior()


def test_the_command_estimates_and_takes_files(trained, field, tmp_path, monkeypatch, capsys):
    x, y = field
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "p.csv"
    text = words(monkeypatch, capsys, predict, trained, tmp_path / "x.npy", "--out", out, "--prior", "estimate")
    assert "In short" in text
    with (tmp_path / "p_prior.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    truth = np.bincount(y) / len(y)
    assert sum(float(row["em"]) for row in rows) == pytest.approx(1, abs=1e-5)
    for way in ("em", "bbse"):
        held = [float(r[f"{way}_low"]) <= q <= float(r[f"{way}_high"]) for r, q in zip(rows, truth, strict=True)]
        assert sum(held) >= 7
    (tmp_path / "counts.csv").write_text("".join(f"{c},{n}\n" for c, n in enumerate(np.bincount(y))))
    words(monkeypatch, capsys, predict, trained, tmp_path / "x.npy", "--out", out, "--prior", tmp_path / "counts.csv")
    with out.open() as stream:
        found = [int(row["class"]) for row in csv.DictReader(stream)]
    assert found == load_run(trained).predict_proba(x, tmp_path / "counts.csv").argmax(1).tolist()
    with pytest.raises(SystemExit, match=r"prior 'sideways' must be uniform, train"):
        words(monkeypatch, capsys, predict, trained, tmp_path / "x.npy", "--out", out, "--prior", "sideways")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", ["pt2", pytest.param("onnx", marks=pytest.mark.slow)])
def test_the_exported_model_takes_the_prior(trained, field, tmp_path, ending):
    predictor, x = load_run(trained), torch.tensor(field[0][:7]).float()
    q = prior_of("backward10", predictor.class_counts, predictor.class_names)
    export(predictor, tmp_path / f"m.{ending}", with_prior=True)
    if ending == "pt2":
        model = torch.export.load(tmp_path / "m.pt2").module()
        found = [model(x, 3 * q.float()), model(x, predictor.own_prior().prior.float())]
    else:
        session = pytest.importorskip("onnxruntime").InferenceSession(str(tmp_path / "m.onnx"))
        assert [one.name for one in session.get_inputs()] == ["features", "prior"]
        own = json.loads(session.get_modelmeta().custom_metadata_map["prior"])["own"]
        given = (q.tolist(), own)
        found = [torch.tensor(session.run(None, {"features": x.numpy(), "prior": np.float32(r)})[0]) for r in given]
    torch.testing.assert_close(found[0], predictor.predict_proba(x, "backward10"), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1], predictor.predict_proba(x), atol=1e-5, rtol=0)
    assert "prior" not in described(predictor)


def test_the_report_weighs_the_test_set(trained, tmp_path, monkeypatch, capsys):
    """Weighed to the training set's prior, telling it changes nothing; to its reverse it helps, and is drawn."""
    text = words(monkeypatch, capsys, report, trained, "--prior", "train", "--out", tmp_path)
    own, told = (next(line for line in text.splitlines() if f" {what} " in line).split() for what in ("own", "told"))
    assert own[-5:] == told[-5:]
    with (tmp_path / "at_prior.csv").open() as stream:
        rows = {(row["prior"], row["predictions"]): row for row in csv.DictReader(stream)}
    assert len(rows) == 2 * 12
    assert float(rows["backward50", "told"]["nll"]) < float(rows["backward50", "own"]["nll"]) - 0.1
    results = json.loads((trained / "results.json").read_text())["stage1"]["test"]
    uniform = rows["uniform", "own"]  # the test set is balanced: no weight at all
    assert float(uniform["effective_size"]) == pytest.approx(500)
    for name in ("acc", "ece", "nll", "brier", "acc_balanced"):
        assert float(uniform[name]) == pytest.approx(results[name], abs=1e-6)
    assert (tmp_path / "figures" / "by_prior.png").stat().st_size > 10_000
    with pytest.raises(SystemExit, match="must be uniform, train"):
        words(monkeypatch, capsys, report, trained, "--prior", "up")


def test_calibrators_are_fitted_to_a_weighed_part(trained, field, tmp_path, monkeypatch, capsys):
    shutil.copytree(trained, tmp_path / "run")
    with np.load(tmp_path / "run" / "predictions.npz") as kept:
        arrays = dict(kept)
    rows = np.concatenate([np.flatnonzero(arrays["val_targets"] == c)[: 10 if c < 5 else 3] for c in range(10)])
    arrays["stage1_val_logits"], arrays["val_targets"] = arrays["stage1_val_logits"][rows], arrays["val_targets"][rows]
    np.savez(tmp_path / "run" / "predictions.npz", **arrays)
    plain = calibrate_folder(tmp_path / "run", ["posthoc=vector"])["calibrated"]["stage1"]
    own = load_run(tmp_path / "run").own_prior().prior
    torch.testing.assert_close(own, torch.tensor([10.0] * 5 + [3.0] * 5).double() / 65)
    text = words(monkeypatch, capsys, calibrate, tmp_path / "run", "posthoc=vector", "--prior", "uniform")
    # Weights 1/10 and 1/3: (5 + 5)^2 / (5 / 10 + 5 / 3) = 46.15
    assert "held-out images count as 46 that" in text.replace("\n", " ")
    weighed = json.loads((tmp_path / "run" / "results.json").read_text())["calibrated"]["stage1"]
    assert weighed["effective_size"] == pytest.approx(100 / (0.5 + 5 / 3))
    assert weighed["parameters"] != plain["parameters"]
    torch.testing.assert_close(load_run(tmp_path / "run").own_prior().prior, torch.full((10,), 0.1).double())
