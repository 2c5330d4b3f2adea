"""The average of two runs on the digits is read by every command that reads a run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from lt_calib.calibrate import calibrate_folder
from lt_calib.conformal.of_run import measure_run
from lt_calib.ensemble.of_runs import average_runs
from lt_calib.errors import InputError
from lt_calib.job.results import read_predictions
from lt_calib.predictor import load_run
from lt_calib.report.__main__ import main as report
from lt_calib.report.read import read_runs
from lt_calib.report.rows import summarise
from lt_calib.run import run
from tests.conftest import TINY, compose_config

RUN = [*TINY, "stage2.max_epochs=1", "+experiment=cutmix_awabs", "dataset.val_per_class=10"]


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> list[Path]:
    folders = [tmp_path_factory.mktemp(f"seed{seed}") for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        run(compose_config(*RUN, f"seed={seed}"), folder)
    return folders


@pytest.fixture(scope="module")
def averaged(two, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("average")
    average_runs(two, out)
    return out


def test_its_predictions_are_the_mean_of_its_members(two, averaged):
    kept, *members = (read_predictions(folder / "predictions.npz") for folder in (averaged, *two))
    for stage in ("stage1", "stage2"):
        for split in ("val", "test"):
            mean = sum(torch.softmax(member[stage][split][0], 1) for member in members) / 2
            torch.testing.assert_close(kept[stage][split][0].exp(), mean, atol=1e-5, rtol=1e-4)
    results = json.loads((averaged / "results.json").read_text())
    assert results["name"] == "2 x cutmix_awabs"
    for stage in ("stage1", "stage2"):
        of = [json.loads((folder / "results.json").read_text())[stage]["test"]["nll"] for folder in two]
        assert results["ensemble"][stage]["mean_of_members"]["nll"] == pytest.approx(sum(of) / 2)
        assert results[stage]["test"]["nll"] < sum(of) / 2  # the logarithm is concave
        assert 0 < results["ensemble"][stage]["auroc_of_errors"] < 1


def test_it_predicts_what_it_kept(averaged):
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    members = [load_run(Path(m["folder"])) for m in json.loads((averaged / "ensemble.json").read_text())["members"]]
    mean = sum(member.predict_proba(images) for member in members) / 2
    ensemble = load_run(averaged)
    torch.testing.assert_close(ensemble.predict_proba(images), mean, atol=1e-5, rtol=1e-4)
    assert float(ensemble.own_prior().prior.max()) == pytest.approx(0.1)


def test_other_commands_read_it_as_a_run(two, averaged, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "average"
    shutil.copytree(averaged, folder)
    calibrate_folder(folder, ["posthoc=temperature"])
    assert load_run(folder).calibrator is not None
    measure_run(folder, ["class_wise", "prior_adjusted"], 0.1)
    monkeypatch.setattr("sys.argv", ["report", *map(str, [folder, *two])])
    report()
    assert capsys.readouterr().out
    methods = {row.group.method for row in summarise(read_runs([folder, *two]))}
    assert methods == {"2 x cutmix_awabs", "cutmix_awabs"}


def test_a_member_that_is_gone_or_another_is_named(two, averaged, tmp_path):
    folder = tmp_path / "average"
    shutil.copytree(averaged, folder)
    about = json.loads((folder / "ensemble.json").read_text())
    about["members"][1]["sha256"] = "0" * 64
    (folder / "ensemble.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="has another checkpoint now: average again"):
        load_run(folder)
    about["members"][1]["folder"] = str(tmp_path / "gone")
    (folder / "ensemble.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="which is not there: move it back"):
        load_run(folder)


def test_what_cannot_be_averaged_is_refused(two, averaged, tmp_path):
    with pytest.raises(InputError, match="two runs or more, each once"):
        average_runs([two[0]], tmp_path / "a")
    with pytest.raises(InputError, match="two runs or more, each once"):
        average_runs([two[0], two[0]], tmp_path / "a")
    with pytest.raises(InputError, match="is not empty"):
        average_runs(two, averaged)
    with pytest.raises(InputError, match=r"holds no finished run: results\.json"):
        average_runs([two[0], tmp_path], tmp_path / "a")
    other = tmp_path / "other"
    shutil.copytree(two[1], other)
    results = json.loads((other / "results.json").read_text())
    results["dataset"]["split_seed"] = 7
    (other / "results.json").write_text(json.dumps(results))
    with pytest.raises(InputError, match=r"another dataset\.split_seed"):
        average_runs([two[0], other], tmp_path / "a")
    shutil.copyfile(two[1] / "results.json", other / "results.json")
    arrays = dict(np.load(two[1] / "predictions.npz"))
    np.savez(other / "predictions.npz", **arrays | {"test_targets": arrays["test_targets"][::-1]})
    with pytest.raises(InputError, match="images in another order"):
        average_runs([two[0], other], tmp_path / "a")
