"""Sweeps by Hydra's launchers and Optuna: joblib, submitit's local executor and a local Ray cluster are really run in
make test-all."""

import json
import os
import subprocess
import sys
from math import inf
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from lt_calib.errors import InputError
from lt_calib.run import main
from lt_calib.settings.objective import check_objective, objective
from lt_calib.settings.schema import register
from tests.conftest import CONF, SMALL, TINY, compose_config

SWEEP = [
    "-m", "+experiment=cutmix_awabs", "dataset=digits_lt", "stage1.max_epochs=1", "stage2.max_epochs=1",
    "figures=false", "cache=off", *SMALL,
]  # fmt: skip


def launcher(name: str, *overrides: str) -> dict:
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return dict(compose("config", [f"hydra/launcher={name}", *overrides], return_hydra_config=True).hydra.launcher)


def test_they_are_the_plugins_own_with_a_few_settings():
    cores = launcher("cores", "hydra.launcher.n_jobs=4")
    assert (cores["n_jobs"], get_class(cores["_target_"]).__name__) == (4, "JoblibLauncher")
    slurm = launcher("slurm", "hydra.launcher.partition=gpu")
    assert (slurm["partition"], slurm["gpus_per_node"], slurm["signal_delay_s"]) == ("gpu", 1, 120)
    assert get_class(slurm["_target_"]).__name__ == "SlurmLauncher"


def test_ray_is_the_plugins_own_with_a_few_settings():
    pytest.importorskip("ray", reason="pip install 'lt_calib[ray]'")
    machines = launcher("machines", "hydra.launcher.ray.init.address=auto")
    assert (machines["ray"].init.address, machines["ray"].remote.num_cpus) == ("auto", 1)
    assert machines["_target_"].endswith("RayLauncher")


@pytest.mark.slow
@pytest.mark.command
@pytest.mark.parametrize("name", ["cores", "submitit_local", "machines"])
def test_a_sweep_with_a_job_that_fails(name, tmp_path):
    if name == "machines":
        pytest.importorskip("ray", reason="pip install 'lt_calib[ray]'")
    command = [sys.executable, "-m", "lt_calib.run", *SWEEP, f"hydra/launcher={name}", "dataset.if=10,1000"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400, env=environment)
    assert done.returncode != 0
    (good,) = (tmp_path / "outputs" / "digits_lt_if10").rglob("results.json")
    assert json.loads(Path(good).read_text())["stage2"]["epochs"] == 1
    (bad,) = (tmp_path / "outputs" / "digits_lt_if1000").rglob("error.txt")
    assert "1000" in Path(bad).read_text()


@pytest.mark.slow
@pytest.mark.command
def test_a_search_by_optuna_looks_at_the_validation_part(tmp_path):
    search = ["hydra/sweeper=search", "stage1.lr=interval(0.001,0.05)", "hydra.sweeper.n_trials=3"]
    command = [sys.executable, "-m", "lt_calib.run", *SWEEP, *search]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, "dataset.val_per_class=10"], cwd=tmp_path, env=environment, timeout=400)
    assert done.returncode == 0
    found = [json.loads(path.read_text()) for path in tmp_path.rglob("results.json")]
    best = OmegaConf.load(tmp_path / "outputs" / "optimization_results.yaml")
    assert best.best_value == pytest.approx(min(results["stage2"]["val"]["nll"] for results in found))
    assert len(found) == 3
    refused = subprocess.run(command, cwd=tmp_path, env=environment, timeout=400, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "chooses by the held-out validation part" in refused.stdout + refused.stderr


def search(monkeypatch, folder: Path, outcome, *overrides: str) -> Any:
    """Search by the real command in this process, with ``outcome(cfg)`` in the place of a run's value of the metric."""

    def run(cfg: DictConfig, folder: Path) -> dict[str, Any]:
        return {"stage1": {"val": {cfg.objective: outcome(cfg)}}, "stage2": None}

    monkeypatch.setattr("lt_calib.run.run", run)
    monkeypatch.setattr("lt_calib.run.exit_at_sigterm", lambda: None)
    monkeypatch.chdir(folder)
    words = ["+experiment=ce", "dataset=digits_lt", "dataset.val_per_class=10", "hydra/sweeper=search", *overrides]
    words += ["hydra/job_logging=none", "hydra/hydra_logging=none"]  # which are the process's
    monkeypatch.setattr(sys, "argv", ["run", "-m", *words])
    main()
    return OmegaConf.load(folder / "outputs" / "optimization_results.yaml")


def fail(error: Exception) -> float:
    raise error


def test_trials_that_fail_are_the_worst_and_the_search_goes_on(monkeypatch, tmp_path, caplog):
    """Whatever they fail by; the sampler is told the worst value, from which it learns."""
    outcomes = {
        "the loss is nan": lambda: fail(ValueError("stage 1: the loss is nan in epoch 1, step 1")),
        "do not go together": lambda: fail(InputError("these settings do not go together")),
        "CUDA out of memory": lambda: fail(torch.OutOfMemoryError("CUDA out of memory")),
        "nll on the validation part is nan": lambda: float("nan"),
        "nll on the validation part is inf": lambda: float("inf"),
        "nll on the validation part is None": lambda: None,
        "well": lambda: 0.5,
        "better": lambda: 0.25,
    }
    left, tried, told = list(outcomes.values()), [], []
    tell = optuna.Study.tell
    monkeypatch.setattr(optuna.Study, "tell", lambda self, **how: (told.append(how["values"]), tell(self, **how))[1])

    def outcome(cfg: DictConfig) -> float | None:
        tried.append(cfg.stage1.lr)
        return left.pop(0)()

    best = search(monkeypatch, tmp_path, outcome, "stage1.lr=interval(0.01,1.0)", "hydra.sweeper.n_trials=8")
    assert told == [[inf]] * 6 + [[0.5], [0.25]]
    assert (best.best_value, best.best_params) == (0.25, {"stage1.lr": tried[7]})
    assert [word for word in outcomes if word in caplog.text] == list(outcomes)[:6]
    assert len(list(tmp_path.rglob("error.txt"))) == 3


def test_the_worst_of_a_search_for_the_highest_is_the_lowest(monkeypatch, tmp_path):
    left = [lambda: fail(ValueError("diverged")), lambda: 0.1]
    words = ["stage1.lr=interval(0.01,1.0)", "objective=acc", "hydra.sweeper.direction=maximize"]
    assert (
        search(monkeypatch, tmp_path, lambda cfg: left.pop(0)(), *words, "hydra.sweeper.n_trials=2").best_value == 0.1
    )


def test_a_search_of_which_every_trial_fails_says_so(monkeypatch, tmp_path, capsys):
    words = ["stage1.lr=interval(0.01,1.0)", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=2"]
    with pytest.raises(SystemExit) as end:
        search(monkeypatch, tmp_path, lambda cfg: fail(ValueError("diverged")), *words)
    assert end.value.code == 1
    assert "All trials of the search have failed" in capsys.readouterr().err
    assert len(list(tmp_path.rglob("error.txt"))) == 2
    assert not list(tmp_path.rglob("optimization_results.yaml"))


def test_a_search_that_cannot_be_is_refused_at_its_first_trial(monkeypatch, tmp_path, capsys):
    words = ["stage1.lr=interval(0.01,1.0)", "objective=acc"]
    with pytest.raises(SystemExit):
        search(monkeypatch, tmp_path, lambda cfg: pytest.fail("was run"), *words)
    assert "would choose the worst: set hydra.sweeper.direction=maximize" in capsys.readouterr().err


def test_a_search_by_several_processes_at_once_is_refused(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="each process would search by itself"):
        check_objective(compose_config(*TINY, "+experiment=ce", "dataset.val_per_class=5"), "minimize")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([], "held-out validation part"),
        (["dataset.val_per_class=5", "objective=f1"], "objective=f1 must be a metric that says which way it is better"),
        (["dataset.val_per_class=5", "objective=ece_floor"], "must be a metric that says"),
        (["dataset.val_per_class=5", "objective=ece_floor_mean"], "says which way it is better: acc, "),
        (["dataset.val_per_class=5", "objective=overconf_tail"], "must be a metric that says"),
        (["dataset.val_per_class=5", "objective=brier_split_uncertainty"], "must be a metric that says"),
        (["dataset.val_per_class=5", "objective=brier_split_resolution"], "set hydra.sweeper.direction=maximize"),
        (["dataset.val_per_class=5", "objective=acc_tail"], "set hydra.sweeper.direction=maximize"),
    ],
)
def test_a_search_without_an_objective_is_refused(overrides, said):
    with pytest.raises(InputError, match=said):
        check_objective(compose_config(*TINY, "+experiment=ce", *overrides), "minimize")


def test_what_a_search_may_look_at():
    for name, direction in (("nll", "minimize"), ("brier_split_reliability", "minimize"), ("acc_tail", "maximize")):
        check_objective(compose_config(*TINY, "dataset.val_per_class=5", f"objective={name}"), direction)


def test_a_run_needs_no_objective():
    found = {"stage1": {"val": {"acc": 0.5}}, "stage2": None}
    assert objective(compose_config(*TINY, "dataset.val_per_class=5", "metric=[acc]"), found) is None
    assert objective(compose_config(*TINY, "dataset.val_per_class=5", "objective=acc"), found) == 0.5
