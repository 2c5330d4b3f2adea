"""What version 0.1.0 left, in tests/report/version_0_1_0.zip.

- results/: some of this repository's results as they were, and report.txt, what that version's report printed of them
  beside its own published.csv and campaign/.
- run/: a finished run's folder, and probs.npy, what that version's load_run predicted for images.npy.
"""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from lt_calib.calibrate import calibrate_folder
from lt_calib.campaign import jobs
from lt_calib.convert import convert
from lt_calib.convert import main as command
from lt_calib.errors import InputError
from lt_calib.job.record import RESULTS_SCHEMA
from lt_calib.predictor import load_run
from lt_calib.report import published
from lt_calib.report.__main__ import main as report
from lt_calib.run import run
from tests.conftest import TINY, compose_config

RUN = [*TINY, "+experiment=mislas", "stage2.max_epochs=1", "dataset.val_per_class=5", "posthoc=temperature"]


@pytest.fixture
def old(tmp_path) -> Path:
    with zipfile.ZipFile(Path(__file__).parent / "report" / "version_0_1_0.zip") as file:
        file.extractall(tmp_path)
    return tmp_path


@pytest.fixture
def as_published_then(old, monkeypatch):
    """Hold the results against what was known and planned then."""
    published.published_rows.cache_clear()
    monkeypatch.setattr(published, "__file__", str(old / "published.py"))
    monkeypatch.setattr(published, "once", tuple)  # equal numbers stood there once for each source
    monkeypatch.setattr(jobs, "campaigns", lambda: old / "campaign")
    yield
    published.published_rows.cache_clear()


def canonical(line: str) -> str:
    return re.sub(r"=(-?\d+)\.0(?!\d)", r"=\1", line)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("as_published_then")
def test_the_report_of_old_results_is_what_it_was(old, monkeypatch, caplog):
    monkeypatch.setattr("sys.argv", ["report", str(old / "results")])
    with pytest.raises(SystemExit, match="no finished run"):
        report()
    assert "has schema 1 and not 2: python -m lt_calib.convert FOLDER" in caplog.text
    convert(old / "results")
    monkeypatch.setattr("sys.argv", ["report", str(old / "results"), "--out", str(old / "out")])
    report()
    printed = (old / "out" / "report.md").read_text().splitlines()
    wanted = [canonical(line) for line in (old / "report.txt").read_text().splitlines()]
    for line, other in zip(printed, wanted, strict=True):
        assert line == other


def test_all_of_version_0_1_0_is_converted_and_nothing_else(old):
    foreign = {"other.json": '{"schema": 1, "a": 1}', "list.json": "[1]", "sub/config.yaml": "seed: 0\n"}
    (old / "results" / "sub").mkdir()
    for name, text in foreign.items():
        (old / "results" / name).write_text(text)
    before = contents(old)
    written = convert(old)
    after = contents(old)
    assert sorted(written) == sorted(path for path in before if before[path] != after[path])
    assert before.keys() == after.keys()
    assert {path: after[path].decode() for path in after if path.name in ("other.json", "list.json")} == {
        old / "results" / name: foreign[name] for name in ("other.json", "list.json")
    }
    kept = [json.loads(path.read_text()) for path in written if path.suffix == ".json"]
    assert {content["schema"] for content in kept} == {RESULTS_SCHEMA}
    assert {"stage1" in content for content in kept} == {True, False}  # runs and grids
    assert {path.name for path in written} >= {"config.yaml", "results.json"}


@pytest.mark.slow
def test_converting_twice_changes_nothing(old):
    assert convert(old)
    once = contents(old)
    assert convert(old) == []
    assert contents(old) == once


def test_numbers_stay_as_they_are(old):
    paths = [path for path in (old / "results").rglob("*.json") if path.parent.name != "best_epoch"]
    before = {path: json.loads(path.read_text()) for path in paths}
    convert(old)
    for path, content in before.items():
        now = json.loads(path.read_text())
        for key in ("name", "seed", "stage1", "stage2", "calibrated", "environment", "points", "chosen"):
            assert now.get(key) == content.get(key)
        assert content.get("dataset", {}).items() <= now.get("dataset", {}).items()


@pytest.mark.slow
def test_the_command(old, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["convert", str(old / "results"), str(old / "run")])
    command()
    command()
    first, *others = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"{re.escape(str(old / 'results'))}: [1-9]\d* files written", first)
    assert others == [f"{old / name}: {n} files written" for name, n in (("run", 2), ("results", 0), ("run", 0))]


def test_a_run_is_refused_until_it_is_converted_and_then_says_what_it_said(old):
    folder = old / "run"
    for read in (load_run, lambda f: calibrate_folder(f, ["posthoc=vector"])):
        with pytest.raises(InputError, match=r"version 0\.1\.0: python -m lt_calib\.convert"):
            read(folder)
    convert(folder)
    images, wanted = np.load(old / "images.npy"), torch.from_numpy(np.load(old / "probs.npy"))
    torch.testing.assert_close(load_run(folder).predict_proba(images), wanted, atol=1e-5, rtol=0)


def test_a_converted_run_is_calibrated_anew(old):
    folder, images = old / "run", np.load(old / "images.npy")
    before = json.loads((folder / "results.json").read_text())
    convert(folder)
    calibrate_folder(folder, ["posthoc=temperature", "+posthoc.strength=0"])
    again = json.loads((folder / "results.json").read_text())["calibrated"]
    for stage in ("stage1", "stage2"):
        for key in ("test", "parameters"):  # the folds of "val" are dealt otherwise since 0.1.0
            assert again[stage][key] == pytest.approx(before["calibrated"][stage][key], abs=1e-5)
    calibrate_folder(folder, ["posthoc=vector"])
    probs = load_run(folder).predict_proba(images)
    assert not torch.allclose(probs, torch.from_numpy(np.load(old / "probs.npy")), atol=1e-3)
    assert json.loads((folder / "results.json").read_text())["calibrated"]["stage2"]["method"] == "vector"


@pytest.mark.parametrize("converted", [False, True])
def test_its_stage_1_is_taken_by_a_run_of_the_same_settings(old, converted):
    before = json.loads((old / "run" / "results.json").read_text())
    if converted:
        convert(old / "run")
    given = f"stage1.ckpt_path={old / 'run' / 'stage1.ckpt'}"
    results = run(compose_config(*RUN, given), old / "new")
    assert not (old / "new" / "stage1.ckpt").exists()
    assert results["stage1"]["epochs"] == 1
    known = {name: results["stage1"]["test"][name] for name in before["stage1"]["test"]}  # metrics came later
    assert known == pytest.approx(before["stage1"]["test"], abs=1e-5)
    with pytest.raises(InputError, match=r"stage1\.optimizer\.momentum was 0\.9, here it is 0\.8"):
        run(compose_config(*RUN, given, "stage1.optimizer.momentum=0.8"), old / "other")
