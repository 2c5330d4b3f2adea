"""Sweeps by Hydra's launchers and Optuna: joblib, submitit's local executor and a local Ray cluster are really run in
make test-all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import OmegaConf

from lt_calib.errors import InputError
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
