import csv
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
import torch
from hydra.errors import CompactHydraException
from hydra.utils import get_method, get_object

from lt_calib.errors import InputError
from lt_calib.logger.none import NoLogger
from lt_calib.run import run
from tests.conftest import SMALL, TINY, compose_config, in_hydra

FULL = ["dataset.val_per_class=10", "trainer.eval_every=1", "posthoc=temperature", "figures=true"]
FIGURES = [
    "by_frequency", "class_confusion", "class_counts", "confusion", "groups", "risk_coverage", "smoothing", "training",
    "training_pictures", "true_class",
    *(f"stage{i}_{after}{of}reliability"
      for i in (1, 2) for after in ("", "calibrated_") for of in ("", "group_", "predicted_group_")),
]  # fmt: skip
SHORT = [*TINY, "stage2.max_epochs=1", "+experiment=cutmix_awabs"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """One finished run with a validation part."""
    folder = tmp_path_factory.mktemp("run")
    run(compose_config(*SHORT, *FULL), folder)
    return folder


def test_what_a_run_leaves(finished):
    names = {str(p.relative_to(finished)) for p in finished.rglob("*") if p.is_file()}
    figures = {f"figures/{name}.{ending}" for name in FIGURES for ending in ("png", "svg")}
    files = {
        "config.yaml", "history.csv", "predictions.npz", "results.json", "stage1.ckpt", "stage2.ckpt",
        "calibrators.ckpt", "report.html",
    }  # fmt: skip
    assert names == figures | files


def measured() -> set[str]:
    """The values of the metrics that a run computes, by the type that each of them returns."""
    names = set()
    for name, node in compose_config(*SHORT, *FULL).metric.items():
        fields = getattr(get_type_hints(get_method(node._target_))["return"], "_fields", None)
        names |= {f"{name}_{field}" for field in fields} if fields else {name}
    return names


def test_results(finished):
    results = json.loads((finished / "results.json").read_text())
    assert list(results) == [
        "schema", "name", "experiment", "seed", "settings", "changed", "dataset", "transform", "network", "recipe",
        "n_bins", "predictions", "stage1", "stage2", "calibrated", "environment",
    ]  # fmt: skip
    assert results["network"] == {"backbone": {"name": "ResNetCIFAR", "blocks": 1}, "classifier": {"name": "Linear"}}
    assert (results["schema"], results["name"], results["seed"]) == (2, "cutmix_awabs", 0)
    assert results["dataset"]["imbalance_factor"] == 10
    assert len(results["dataset"]["class_counts"]) == 10
    assert results["dataset"]["groups"] == {"head": [0, 1, 2], "medium": [3, 4, 5, 6], "tail": [7, 8, 9]}
    for stage in ("stage1", "stage2"):
        assert results[stage]["epochs"] == 1
        assert results[stage]["images_per_second"] > 0
        groups = {f"{m}_{g}" for m in ("acc", "ece", "overconf") for g in ("head", "medium", "tail")}
        assert set(results[stage]["test"]) == set(results[stage]["val"]) == measured() | groups
        assert 0 <= results[stage]["test"]["acc"] <= 1
        low, high = results[stage]["test_intervals"]["acc"]
        assert low <= results[stage]["test"]["acc"] <= high
        assert results[stage]["test_per_class"]["count"] == [50] * 10
        calibrated = results["calibrated"][stage]
        assert calibrated["method"] == "temperature"
        assert calibrated["parameters"]["temperature"] > 0
        assert calibrated["test"]["acc"] == results[stage]["test"]["acc"]
        assert calibrated["test"]["nll"] < results[stage]["test"]["nll"]
    assert set(results["environment"]) == {"torch", "lightning", "device", "precision", "git"}
    assert results["environment"]["precision"] == "32-true"


def test_predictions_give_the_results(finished):
    results = json.loads((finished / "results.json").read_text())
    with np.load(finished / "predictions.npz") as file:
        arrays = dict(file)
    splits = {f"{stage}_{split}_logits" for stage in ("stage1", "stage2") for split in ("val", "test")}
    assert set(arrays) == splits | {"val_targets", "test_targets", "class_counts"}
    assert arrays["class_counts"].tolist() == results["dataset"]["class_counts"]
    for stage in ("stage1", "stage2"):
        accuracy = np.mean(arrays[f"{stage}_test_logits"].argmax(1) == arrays["test_targets"])
        assert accuracy == pytest.approx(results[stage]["test"]["acc"])


def test_history_has_a_row_an_epoch(finished):
    rows = list(csv.DictReader((finished / "history.csv").open()))
    assert [(row["stage"], row["epoch"]) for row in rows] == [("1", "1"), ("2", "1")]
    assert all(float(row["loss"]) > 0 and 0 <= float(row["val_acc"]) <= 1 for row in rows)


def test_a_second_start_trains_nothing(finished, composed, monkeypatch):
    monkeypatch.setattr("lt_calib.job.build.build_data", lambda cfg: pytest.fail("started again"))
    before = (finished / "results.json").read_bytes()
    again = run(composed(*SHORT, *FULL), finished)
    assert again == json.loads(before)


def test_a_folder_with_other_settings_is_refused(finished, composed):
    with pytest.raises(
        InputError, match=r"other settings \(dataset.val_per_class, posthoc._partial_, posthoc._target_, stage1"
    ):
        run(composed(*SHORT, "stage1.lr=0.2"), finished)


def logits(folder: Path, name: str = "stage2_test_logits") -> np.ndarray:
    with np.load(folder / "predictions.npz") as file:
        return file[name]


@pytest.mark.slow
def test_seeds(tmp_path, composed):
    for i, (name, seed) in enumerate((("a", 0), ("b", 0), ("c", 1))):
        np.random.seed(i)  # what the process drew before must not matter
        torch.manual_seed(i)
        run(composed(*SHORT, f"seed={seed}"), tmp_path / name)
    assert np.array_equal(logits(tmp_path / "a"), logits(tmp_path / "b"))
    assert not np.array_equal(logits(tmp_path / "a"), logits(tmp_path / "c"))


@pytest.mark.slow
def test_a_finished_stage_1_is_taken(finished, composed, tmp_path):
    given = f"stage1.ckpt_path={finished / 'stage1.ckpt'}"
    val = "dataset.val_per_class=10"
    others = {
        "augment": "augment=cutout",
        "stage1.loss": "loss@stage1.loss=cross_entropy",
        "stage1.lr": "stage1.lr=0.5",
        "seed": "seed=1",
        "dataset.batch_size": "dataset.batch_size=64",
        "resample._target_": "resample=over_sampling",
    }
    for key, other in others.items():
        with pytest.raises(InputError, match=rf"otherwise than this command says: {key}"):
            run(composed(*SHORT, other, val, given), tmp_path / key)
    results = run(composed(*SHORT, val, given, "stage1.max_epochs=0", "stage2.max_epochs=0"), tmp_path / "evaluated")
    assert results["stage1"]["test"] == json.loads((finished / "results.json").read_text())["stage1"]["test"]
    assert results["stage2"]["test"] == results["stage1"]["test"]  # the scaling vector starts at 1
    assert (results["stage1"]["epochs"], results["stage2"]["epochs"]) == (1, 0)
    of_features = ["resample=over_sampling", "resample.space=features"]  # stage 2 alone
    run(composed(*SHORT, val, given, *of_features), tmp_path / "of_features")
    run(composed(*SHORT, val, given), tmp_path / "second")
    assert np.array_equal(logits(tmp_path / "second"), logits(finished))


def test_a_run_that_was_killed_after_stage_1_goes_on_with_stage_2(composed, tmp_path, monkeypatch):
    from lt_calib.stage.classifier import ClassifierModule
    from lt_calib.stage.representation import RepresentationModule

    with monkeypatch.context() as patch:
        patch.setattr(ClassifierModule, "training_step", lambda *a: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception, match="killed"):
            run(composed(*SHORT), tmp_path)
    monkeypatch.setattr(RepresentationModule, "training_step", lambda *a: pytest.fail("trained again"))
    results = run(composed(*SHORT), tmp_path)
    assert (results["stage1"]["epochs"], results["stage2"]["epochs"]) == (1, 1)


@pytest.fixture
def told(monkeypatch) -> list[tuple[int, int]]:
    """Stage and epoch of each row that the logger is told."""
    rows: list[tuple[int, int]] = []
    monkeypatch.setattr(
        "lt_calib.logger.none.NoLogger.log_epoch", lambda self, row: rows.append((row["stage"], row["epoch"]))
    )
    return rows


def die_in(monkeypatch: pytest.MonkeyPatch, function: str, call: int) -> None:
    """Let the call of this number fail before it does anything."""
    whole, calls = get_object(f"lt_calib.{function}"), itertools.count(1)

    def dying(*args, **kwargs):
        if next(calls) == call:
            raise MemoryError
        return whole(*args, **kwargs)

    monkeypatch.setattr(f"lt_calib.{function}", dying)


@pytest.mark.slow
def test_the_logger_is_told_each_epoch_once_however_often_the_run_is_killed(composed, tmp_path, monkeypatch, told):
    settings = [*SHORT, "stage1.max_epochs=3", "stage2.max_epochs=2", "dataset.batch_size=1000"]  # a step an epoch
    moments = [
        ("logger.none.NoLogger.log_epoch", 2),
        ("training.resume.Resume.on_train_epoch_end", 1),  # epoch 2 is told, and lost
        ("stage.base.StageModule.training_step", 4),
        ("logger.none.NoLogger.log_results", 1),
    ]
    seen = []
    for function, call in moments:
        with monkeypatch.context() as patch:
            die_in(patch, function, call)
            with pytest.raises(MemoryError):
                run(composed(*settings), tmp_path / "killed")
        seen.append(len(told))
    assert seen == [1, 2, 4, 5]
    run(composed(*settings), tmp_path / "killed")
    every = [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]
    assert told == every
    with (tmp_path / "killed" / "history.csv").open() as stream:
        assert [(int(row["stage"]), int(row["epoch"])) for row in csv.DictReader(stream)] == every
    told.clear()
    given = f"stage1.ckpt_path={tmp_path / 'killed' / 'stage1.ckpt'}"
    run(composed(*settings, given), tmp_path / "second")
    assert told == every  # of another run's stage 1 too, which this one's logger does not know


class Another(NoLogger):
    """The logger of the second start."""


@pytest.mark.slow
def test_another_logger_is_told_what_the_first_one_was_told(composed, tmp_path, monkeypatch, told):
    settings = [*SHORT, "stage1.max_epochs=3", "dataset.batch_size=1000"]
    with monkeypatch.context() as patch:
        die_in(patch, "stage.base.StageModule.training_step", 3)
        with pytest.raises(MemoryError):
            run(composed(*settings), tmp_path)
    assert told == [(1, 1), (1, 2)]
    told.clear()
    run(composed(*settings, f"logger._target_={__name__}.Another"), tmp_path)
    assert told == [(1, 1), (1, 2), (1, 3), (2, 1)]


def test_what_a_logger_does_not_take_it_is_told_again_by_the_next_start(composed, tmp_path, monkeypatch):
    """W&B fails in epoch 2 of 3, and the process is killed in epoch 3."""
    settings, told = [*SHORT, "stage1.max_epochs=3", "dataset.batch_size=1000"], []

    def log_epoch(self, row) -> bool:
        told.append((row["stage"], row["epoch"]))
        return row["epoch"] < 2 or well

    monkeypatch.setattr(NoLogger, "log_epoch", log_epoch)
    well = False
    with monkeypatch.context() as patch:
        die_in(patch, "stage.base.StageModule.training_step", 3)
        with pytest.raises(MemoryError):
            run(composed(*settings), tmp_path)
    assert told == [(1, 1), (1, 2)]
    told.clear()
    well = True
    run(composed(*settings), tmp_path)
    assert told == [(1, 2), (1, 3), (2, 1)]


def test_a_refused_command_leaves_a_finished_run_as_it_was(finished, monkeypatch):
    from lt_calib.run import job

    before = {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()}
    in_hydra(monkeypatch, finished)
    monkeypatch.setattr("lt_calib.run.run", lambda cfg, folder: (_ for _ in ()).throw(InputError("other settings")))
    with pytest.raises(Exception, match="other settings"):
        job(compose_config(*SHORT))
    assert {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()} == before


def test_a_run_that_is_told_to_end_says_so_by_its_exit_code(tmp_path, monkeypatch):
    from lt_calib.run import job

    in_hydra(monkeypatch, tmp_path)
    monkeypatch.setattr("lt_calib.run.run", lambda cfg, folder: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit) as stop:
        job(compose_config(*SHORT))
    assert stop.value.code == 143


def test_one_stage(composed, tmp_path):
    results = run(composed(*TINY), tmp_path)
    assert results["stage2"] is None
    assert not (tmp_path / "stage2.ckpt").exists()
    assert "stage2_test_logits" not in np.load(tmp_path / "predictions.npz")


def test_everything_is_checked_before_anything_trains(composed, tmp_path, monkeypatch):
    monkeypatch.setattr("lt_calib.job.step.fit_or_load", lambda *a: pytest.fail("trained"))
    with pytest.raises(Exception, match=r"eps_head 0.7"):
        run(composed(*SHORT, "stage2.loss.eps_head=0.7"), tmp_path)
    assert not (tmp_path / "config.yaml").exists()  # the folder is free for the corrected job
    with pytest.raises(InputError, match="allow_double_correction"):
        run(composed(*SHORT, "sampler@stage2.sampler=class_balanced", "stage2.loss.prior=data"), tmp_path / "b")


def test_the_logger_is_closed_even_when_the_job_fails(composed, tmp_path, monkeypatch):
    codes = []
    monkeypatch.setattr("lt_calib.logger.none.NoLogger.finish", lambda self, exit_code: codes.append(exit_code))
    with pytest.raises(Exception, match="groups"):
        run(composed(*SHORT, "dataset.groups=thirds"), tmp_path)
    assert codes == [1]


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")} | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "lt_calib.run", *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=240, env=environment, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.command
def test_multirun_with_a_job_that_fails(tmp_path):
    done = command(
        "-m", "+experiment=cutout_awabs,cutmix_awabs", "dataset=digits_lt", "dataset.if=1000,10", "stage1.max_epochs=1",
        "stage2.max_epochs=1", "figures=false", *SMALL, cwd=tmp_path,
    )  # fmt: skip
    folders = [path.parent for name in ("results.json", "error.txt") for path in sorted(tmp_path.rglob(name))]
    assert [str(folder.parent.relative_to(tmp_path)) for folder in folders] == [
        f"outputs/digits_lt_if{factor}/{name}" for factor in (10, 1000) for name in ("cutmix_awabs", "cutout_awabs")
    ]
    assert all(folder.name.startswith("seed0_") and "stage1.max_epochs-1" in folder.name for folder in folders)
    assert done.returncode != 0
    assert done.stdout.count("The factor must be <= 124") == 2
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.command
def test_a_typo_is_answered_without_a_traceback(tmp_path):
    done = command("+experiment=cutmix_awabs", "stage1.maxepochs=3", cwd=tmp_path)
    assert done.returncode != 0
    assert "stage1.maxepochs" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.command
def test_it_runs_where_wandb_is_not_installed_and_without_a_terminal(tmp_path):
    blocker = tmp_path / "site" / "wandb"
    blocker.mkdir(parents=True)
    (blocker / "__init__.py").write_text("raise ImportError('not installed')")
    environment = os.environ | {"PYTHONPATH": str(blocker.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "lt_calib.run", *SHORT], cwd=tmp_path, capture_output=True, text=True, timeout=240,
        env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "stage 2  epoch 1" in done.stdout
    assert len(list(tmp_path.rglob("results.json"))) == 1


@pytest.mark.command
@pytest.mark.parametrize(("mode", "moment"), [
    ([], "digits_lt, IF 10"), pytest.param(["-m"], "stage 2  epoch 1/", marks=pytest.mark.slow),
])  # fmt: skip
def test_sigterm_ends_the_command_at_once_wherever_it_is(tmp_path, mode, moment):
    settings = [*TINY, "+experiment=cutmix_awabs", "stage1.max_epochs=2", "stage2.max_epochs=19"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lt_calib.run", *mode, *settings, "seed=0,1" if mode else "seed=0"],
        cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if moment in line and process.poll() is None:
            process.terminate()
            break
    said += process.stdout.readlines()
    assert process.wait(60) == 143, said
    assert "was stopped (SIGTERM); the same command resumes after its last finished epoch" in "".join(said)
    assert "Traceback" not in "".join(said)
    assert not list(tmp_path.rglob("results.json"))
    assert not list(tmp_path.rglob("error.txt"))


def test_what_is_stopped_by_hand_has_another_exit_code(tmp_path, monkeypatch):
    from lt_calib.run import job

    def stopped(cfg, folder):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)  # as Lightning does

    in_hydra(monkeypatch, tmp_path)
    monkeypatch.setattr("lt_calib.run.run", stopped)
    with pytest.raises(SystemExit) as stop:
        job(compose_config(*SHORT))
    assert stop.value.code == 130


def test_a_disk_so_full_that_the_error_cannot_be_kept(tmp_path, monkeypatch):
    from lt_calib.run import job

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    in_hydra(monkeypatch, tmp_path)
    monkeypatch.setattr("lt_calib.run.run", lambda cfg, folder: (_ for _ in ()).throw(InputError("make room")))
    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(CompactHydraException, match="make room"):
        job(compose_config(*SHORT))
