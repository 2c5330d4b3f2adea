"""Peak resident memory over a process's baseline after the imports: of training, and of what follows it on large data.

``python -m benchmarks.memory`` for all but the fit of vector scaling, ``python -m benchmarks.memory PART IMAGES
CLASSES`` for one part.
"""

import contextlib
import io
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

import benchmarks.job as job
from benchmarks.job import configuration, peak_mb, run
from lt_calib.figure.of_run import draw_figures
from lt_calib.job.results import assemble, write_predictions
from lt_calib.measure.cross_fit import log_probs
from lt_calib.posthoc.temperature import Temperature
from lt_calib.posthoc.vector import Vector
from lt_calib.report.__main__ import main as report_command
from lt_calib.settings.check import make

SIZES = {"ImageNet-LT": (50_000, 1000), "iNaturalist 2018": (24_426, 8142)}  # test images, classes
FEW = ["dataset.if=100", "stage1.max_epochs=1", "stage2.max_epochs=1", "trainer.accelerator=cpu"]


def training() -> None:
    """Run one short job at batch 128 on data as large as CIFAR-10's."""
    job.A_CLASS, job.TEST = 5000, 10000  # what CIFAR-10 holds in memory
    run(configuration(*FEW))


def made_up(n: int, k: int, stages: int) -> dict[str, dict[str, tuple[torch.Tensor, torch.Tensor]]]:
    """Make predictions of models that are right of two images in three and too sure, stage -> split -> them."""
    draws = torch.Generator().manual_seed(0)
    targets = torch.arange(n) % k
    found = {}
    for stage in range(1, stages + 1):
        logits = torch.randn(n, k, generator=draws).mul_(2)
        logits[torch.arange(n), targets] += 2 * torch.randn(n, generator=draws) + 7
        found[f"stage{stage}"] = {"test": (logits, targets)}
    return found


def about(n: int, k: int) -> dict:
    """Make what a run's record says of the data."""
    third = k // 3
    groups = {"head": list(range(third)), "medium": list(range(third, 2 * third)), "tail": list(range(2 * third, k))}
    counts = [max(5, round(1280 * 0.01 ** (c / k))) for c in range(k)]
    data = {"name": "made up", "class_counts": counts, "groups": groups, "imbalance_factor": 256}
    return {"name": "made up", "dataset": data, "n_bins": 15, "environment": {}}


def results(n: int, k: int) -> None:
    """All metrics, intervals and the numbers of each class, of two stages."""
    cfg = configuration()
    metrics = {name: make(cfg, f"metric.{name}") for name in cfg.metric}
    assemble(about(n, k), {"stage1": {}, "stage2": {}}, made_up(n, k, 2), metrics)


def figures(n: int, k: int) -> None:
    """All figures of two stages."""
    per_class = {name: [0.5] * k for name in ("count", "acc", "confidence", "overconf", "ece")}
    stage = {"test": {"acc": 0.5, "acc_head": 0.5}, "test_per_class": per_class}
    with tempfile.TemporaryDirectory() as folder:
        draw_figures(Path(folder), about(n, k) | {"stage1": stage, "stage2": stage}, made_up(n, k, 2))


def temperature(n: int, k: int) -> None:
    """One temperature, fitted to as many images and applied to them."""
    logits, targets = made_up(n, k, 1)["stage1"]["test"]
    log_probs(Temperature(k).fit(logits, targets), logits)


def vector(n: int, k: int) -> None:
    """A weight and a bias a class, fitted to as many images and applied to them."""
    logits, targets = made_up(n, k, 1)["stage1"]["test"]
    log_probs(Vector(k).fit(logits, targets), logits)


def report(n: int, k: int) -> None:
    """The report of two methods with two seeds each, paired tests and figures."""
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large"
        write_predictions(large, made_up(n, k, 2), [1] * k)
        from lt_calib.run import run as run_job

        for name in ("one", "other"):
            for seed in (0, 1):
                one = Path(folder) / "runs" / name / str(seed)
                run_job(configuration(*FEW, "metric=[acc,ece,nll]", f"seed={seed}", f"name={name}"), one)
                (one / "predictions.npz").unlink()
                os.link(large, one / "predictions.npz")
        sys.argv = ["report", str(Path(folder) / "runs"), "--out", str(Path(folder) / "report")]
        report_command()


def measure(part: str, *size: int) -> None:
    """Run one part, and print its peak memory and the time it took."""
    before, start = peak_mb(), time.perf_counter()
    logging.disable(logging.WARNING)
    with contextlib.redirect_stdout(io.StringIO()):
        globals()[part](*size)
    print(f"{peak_mb() - before:.0f} MB over {before:.0f} MB, {time.perf_counter() - start:.0f} s", flush=True)


def main() -> None:
    """Run each part in a process of its own, one after the other."""
    command = [sys.executable, "-m", "benchmarks.memory"]
    print("training", end=": ", flush=True)
    subprocess.run([*command, "training"], check=True)
    for name, size in SIZES.items():
        for part in ("results", "figures", "temperature", "report"):
            print(f"{part}, {name}, {size[0]} x {size[1]}", end=": ", flush=True)
            subprocess.run([*command, part, *map(str, size)], check=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        measure(sys.argv[1], *map(int, sys.argv[2:]))
    else:
        main()
