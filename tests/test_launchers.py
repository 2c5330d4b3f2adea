"""Sweeps by Hydra's launchers: joblib and submitit's local executor are really run in make test-all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_class

from lt_calib.config import register
from tests.conftest import CONF, SMALL

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


@pytest.mark.slow
@pytest.mark.command
@pytest.mark.parametrize("name", ["cores", "submitit_local"])
def test_a_sweep_with_a_job_that_fails(name, tmp_path):
    command = [sys.executable, "-m", "lt_calib.run", *SWEEP, f"hydra/launcher={name}", "dataset.if=10,1000"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400, env=environment)
    assert done.returncode != 0
    (good,) = (tmp_path / "outputs" / "digits_lt_if10").rglob("results.json")
    assert json.loads(Path(good).read_text())["stage2"]["epochs"] == 1
    (bad,) = (tmp_path / "outputs" / "digits_lt_if1000").rglob("error.txt")
    assert "1000" in Path(bad).read_text()
