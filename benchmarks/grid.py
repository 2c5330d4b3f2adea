"""Grids of 64 points, of epsilons and of rates, against a single stage 2: time to fit and evaluate, peak memory."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EPOCHS, REPEATS = 10, 3
GRIDS = {
    "one": [],
    "epsilons": [
        "+grid=eps", "grid.eps_head=[0.2,0.25,0.3,0.35,0.4,0.45,0.5]", "grid.eps_tail=[0.0,0.1,0.2]",
        "grid.form=[concave,linear,convex]",
    ],
    "rates and decays": [
        "+grid=eps", "grid.eps_head=[0.4]", "grid.eps_tail=[0.1]", "grid.form=[concave]",
        "+grid.lr_factor=[0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8]",
        "+grid.weight_decay=[0,1e-4,2e-4,3e-4,4e-4,5e-4,6e-4,7e-4]",
    ],
}  # fmt: skip


def measure(folder: Path, stage1: Path, name: str) -> None:
    """Fit and evaluate one stage 2, or a grid's points, and print seconds and peak memory as JSON."""
    import torch

    from benchmarks.job import configuration, peak_mb
    from lt_calib.files.checkpoint import load_stage
    from lt_calib.job.build import build, settle
    from lt_calib.job.fit import fit, predict
    from lt_calib.job.grid import fit_grid
    from lt_calib.job.results import with_intervals
    from lt_calib.job.step import begin
    from lt_calib.measure.evaluate import evaluate

    cfg = configuration(f"stage2.max_epochs={EPOCHS}", "stage2.lr=0.001", "trainer.accelerator=cpu", *GRIDS[name])
    job = build(settle(cfg, folder), folder)
    first, stage = job.stages
    load_stage(stage1, first.module.backbone, first.module.classifier, job.data.facts)
    begin(job, stage)
    if GRIDS[name]:
        targets = job.data.targets("test")
        fit_grid(job, stage, {"test": (torch.zeros(len(targets), job.data.num_classes), targets)})
        found = json.loads((folder / "grid.json").read_text())
        seconds, n = found["seconds"] + found["evaluation_seconds"], len(found["points"])
    else:
        about = fit(job, stage, stage.module)
        start = time.perf_counter()
        logits, targets = predict(job, stage)["test"]
        evaluate(logits, targets, job.data.groups, job.metrics)
        with_intervals(logits, targets, 15, job.data.groups, job.metrics)
        seconds, n = about["seconds"] + time.perf_counter() - start, 1
    print(json.dumps({"points": n, "seconds": seconds, "peak_mb": peak_mb()}))


def main() -> None:
    """Measure in turns, each in a process of its own."""
    from benchmarks.job import configuration
    from lt_calib.run import run

    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        run(configuration("stage1.max_epochs=2", "stage2.max_epochs=0", "trainer.accelerator=cpu"), base / "stage1")
        found: dict[str, list[dict]] = {name: [] for name in GRIDS}
        for repeat in range(REPEATS):
            for name in found:
                here = base / f"{name}_{repeat}"
                here.mkdir()
                command = [sys.executable, "-m", "benchmarks.grid", str(here), str(base / "stage1/stage1.ckpt")]
                done = subprocess.run([*command, name], check=True, stdout=subprocess.PIPE, text=True)
                found[name].append(json.loads(done.stdout.strip().splitlines()[-1]))
        one = found.pop("one")
        print(*one, sep="\n")
        for name, rows in found.items():
            print(*rows, sep="\n")
            for key, most in (("seconds", 1.3), ("peak_mb", 1.5)):
                ratio = statistics.median(b[key] / a[key] for a, b in zip(one, rows, strict=True))
                print(f"{rows[0]['points']} {name} / one stage 2, {key}: {ratio:.3f}   (<= {most})")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    else:
        main()
