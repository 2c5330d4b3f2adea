"""One table of a multirun's jobs, and their names where they run side by side."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from lt_calib.job.multirun import Jobs, Row, table

TEST = {"acc": 0.81234, "ece": 0.0312, "nll": 0.61249, "acc_tail": 0.7}


def finished(folder: Path, **other: Any) -> str:
    folder.mkdir(parents=True)
    results = {"stage1": {"test": TEST | {"acc": 0.5}}, "stage2": {"test": TEST}, "calibrated": None} | other
    (folder / "results.json").write_text(json.dumps(results))
    return str(folder)


def test_a_row_is_the_last_stage_calibrated_where_it_can_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calibrated = {"stage1": {"test": {}}, "stage2": {"test": TEST | {"ece": 0.012}}}
    words = ["+experiment=ce", "model=resnet8"]
    rows = [
        Row(0, [*words, "seed=0"], finished(tmp_path / "outputs" / "a")),
        Row(1, [*words, "seed=1"], finished(tmp_path / "b", calibrated=calibrated)),
        Row(2, [*words, "seed=2"], finished(tmp_path / "c", stage2=None)),
    ]
    lines = list(table(rows))
    said = [line.split() for line in lines]
    assert ["#", "job", "acc", "ECE", "NLL", "tail"] in said
    assert ["0", "seed=0", "81.23", "3.12", "0.612", "70.00"] in said
    assert ["outputs/a"] in said
    assert ["1", "seed=1", "81.23", "1.20", "0.612", "70.00"] in said
    assert ["2", "seed=2", "50.00", "3.12", "0.612", "70.00"] in said
    assert max(len(line) for line in lines) <= 80


def test_long_settings_are_wrapped_between_words_and_jobs_without_results_say_so(tmp_path):
    (tmp_path / "failed").mkdir()
    (tmp_path / "failed" / "error.txt").touch()
    long = [f"stage2.loss.eps_head=0.{i}" for i in range(5)]
    rows = [Row(0, ["+experiment=ce", *long], str(tmp_path / "failed")), Row(1, ["+experiment=crt"], str(tmp_path))]
    lines = list(table(rows))
    assert all(any(word in line.split() for line in lines) for word in long)
    assert all(len(line) <= 80 for line in lines if str(tmp_path.name) not in line)
    assert any("ce" in line.split() and "failed" in line for line in lines)
    assert any("crt" in line.split() and "not finished" in line for line in lines)


def test_metrics_that_are_not_measured(tmp_path):
    folder = finished(tmp_path / "a", stage2=None, stage1={"test": {"acc": 0.5}})
    assert any(line.split()[-4:] == ["50.00", "-", "-", "-"] for line in table([Row(0, ["seed=0"], folder)]))


def of(folder: Path, number: int = 0, launcher: str = "BasicLauncher", mode: RunMode = RunMode.MULTIRUN) -> Any:
    hydra = {
        "mode": mode, "job": {"num": number}, "launcher": {"_target_": f"some.{launcher}"},
        "sweeper": {"_target_": "some.BasicSweeper"},
        "sweep": {"dir": str(folder)}, "runtime": {"output_dir": str(folder / str(number))},
    }  # fmt: skip
    return OmegaConf.create({"name": "cutmix_awabs", "hydra": hydra})


def test_the_jobs_of_other_processes_are_in_the_table(tmp_path, capsys):
    jobs = Jobs()
    jobs.on_multirun_start(of(tmp_path))
    for number in (1, 0):
        other = Jobs()
        other.file = jobs.file  # as a launcher's process gets it
        finished(tmp_path / str(number))
        other.on_job_end(of(tmp_path, number), SimpleNamespace(overrides=[f"seed={number}"]))  # type: ignore[arg-type]
    jobs.on_multirun_end(of(tmp_path))
    said = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert said.index(["0", "seed=0"]) < said.index(["1", "seed=1"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]
    jobs.on_multirun_end(of(tmp_path))
    assert capsys.readouterr().out == ""


def test_a_single_run_has_no_table(tmp_path, capsys):
    jobs = Jobs()
    jobs.on_job_end(of(tmp_path), SimpleNamespace(overrides=[]))  # type: ignore[arg-type]
    jobs.show()
    assert capsys.readouterr().out == ""


@pytest.fixture
def screen(monkeypatch) -> Any:
    """The package's handler on the screen, and whether rich was told that it is no terminal."""
    handler = logging.StreamHandler()
    package = logging.getLogger("lt_calib")
    monkeypatch.setattr(package, "handlers", [handler])
    told = []
    monkeypatch.setattr("lt_calib.job.multirun.rich.reconfigure", lambda **how: told.append(how))
    record = logging.LogRecord("lt_calib", logging.INFO, "", 1, "stage 1", (), None)
    return SimpleNamespace(line=lambda: handler.format(record), told=told)


def test_jobs_side_by_side_begin_their_lines_with_their_names(tmp_path, screen):
    Jobs().on_job_start(of(tmp_path, 3))
    assert (screen.line(), screen.told) == ("stage 1", [])
    Jobs().on_job_start(of(tmp_path, 3, "JoblibLauncher"))
    assert screen.line() == "#3 cutmix_awabs  stage 1"
    assert screen.told == [{"force_terminal": False}]
    Jobs("of 10 % seed0").on_job_start(of(tmp_path, mode=RunMode.RUN))
    assert screen.line() == "of 10 % seed0  stage 1"
