"""Every experiment, by the real command, on the embedded data. Slow: make test-all."""

import json
import math
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import EXPERIMENTS, SMALL, data_of

BALANCING = ("balanced_softmax", "crt", "mislas", "cutmix_awabs")


def multirun(folder: Path, *arguments: str) -> dict[tuple[str, int], dict]:
    """Run ``-m`` and return each job's results by name and seed."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "lt_calib.run", "-m", *arguments],
        cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = [json.loads(path.read_text()) for path in folder.rglob("results.json")]
    return {(results["name"], results["seed"]): results for results in found}


@pytest.mark.slow
def test_every_experiment_ends_above_chance(tmp_path):
    results: dict[tuple[str, int], dict] = {}
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in EXPERIMENTS:
        data = data_of(name)
        small = [] if "features" in data or name == "bbn" else SMALL  # a network of its own
        alike.setdefault((data, *small), []).append(name)
    for number, (settings, names) in enumerate(alike.items()):
        results |= multirun(tmp_path / str(number), *settings, f"+experiment={','.join(names)}", "stage1.max_epochs=10")
    assert {name for name, _ in results} == set(EXPERIMENTS)
    for (name, _), result in results.items():
        for stage in ("stage1", "stage2"):
            if result[stage]:
                values = [v for v in result[stage]["test"].values() if v is not None]
                assert all(math.isfinite(v) for v in values), (name, stage)
        last = result["stage2"] or result["stage1"]
        assert last["test"]["acc"] > 0.15, (name, last["test"]["acc"])  # chance is 0.10, give or take 0.013


@pytest.mark.slow
def test_balancing_methods_find_the_tail(tmp_path):
    names = ",".join(("ce", *BALANCING))
    results = multirun(
        tmp_path, "dataset=digits_lt", "model=resnet8", f"+experiment={names}", "dataset.if=50", "seed=0,1,2"
    )

    def tail(name: str) -> float:
        runs = [results[name, seed] for seed in range(3)]
        return statistics.mean((run["stage2"] or run["stage1"])["test"]["acc_tail"] for run in runs)

    for name in BALANCING:
        assert tail(name) >= tail("ce") + 0.05, {n: tail(n) for n in ("ce", *BALANCING)}
