"""What choosing the epoch on the test set would add.

``python -m benchmarks.best_epoch --seeds 0,1,2 [--out FILE.json] +experiment=ce dataset=...``

The package never looks at the test set before the end. This script does, after every epoch, to say how much a number is
worth that was chosen so: the accuracy of the best epoch beside that of the last one.
"""

import argparse
import csv
import json
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig

from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.job import build
from lt_calib.job.record import part_of
from lt_calib.job.results import write_json
from lt_calib.run import run
from lt_calib.settings.schema import composed, plain

# The cache would keep the histories for others.
WATCHED = ["trainer.eval_every=1", "cache=off", "figures=false", "dataset.val_per_class=0", "posthoc=none"]
METRICS = ("acc", "ece")


def configuration(overrides: list[str]) -> DictConfig:
    """Compose the experiment, watched.

    Raises:
        SystemExit: its stage 2 is fitted to the validation part, in whose place the test set would be.
    """
    cfg = composed(*overrides, *WATCHED)
    if "_target_" in cfg.stage2 and not cfg.stage2.max_epochs:
        raise SystemExit(f"stage 2 of {cfg.name} has no epochs to choose among, and would be fitted to the test set")
    return cfg


def watched_run(cfg: DictConfig, folder: Path) -> list[dict[str, str]]:
    """Run an experiment with the test set in the place of the validation part, and return its history."""
    whole = build.build_data

    def watched(cfg: DictConfig) -> LongTailedDataModule:
        data: Any = whole(cfg)
        data._splits = data._splits | {"val": data._splits["test"]}
        return data

    build.build_data = watched
    try:
        run(cfg, folder)
    finally:
        build.build_data = whole
    with (folder / "history.csv").open() as stream:
        return list(csv.DictReader(stream))


def last_and_best(history: list[dict[str, str]]) -> dict[str, dict[str, Any]]:
    """Take from each stage the metrics of its last epoch and of the one with the best accuracy; fractions."""
    found = {}
    for stage in sorted({row["stage"] for row in history}):
        rows = [row for row in history if row["stage"] == stage]
        best = max(rows, key=lambda row: float(row["val_acc"]))
        found[f"stage{stage}"] = {
            name: {"epoch": int(row["epoch"])} | {metric: float(row[f"val_{metric}"]) for metric in METRICS}
            for name, row in (("last", rows[-1]), ("best", best))
        }
    return found


def lines(runs: list[dict[str, dict[str, Any]]]) -> list[str]:
    """Say in percent what the last and the best epoch of each stage have, mean ± standard deviation over the seeds."""

    def show(values: list[float]) -> str:
        spread = f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else ""
        return f"{100 * statistics.mean(values):.2f}{spread}"

    said = []
    for stage in runs[0]:
        gains = {m: [one[stage]["best"][m] - one[stage]["last"][m] for one in runs] for m in METRICS}
        of = {name: {m: show([one[stage][name][m] for one in runs]) for m in METRICS} for name in ("last", "best")}
        epochs = ", ".join(str(one[stage]["best"]["epoch"]) for one in runs)
        said.append(
            f"{stage}, {len(runs)} seeds: last epoch accuracy {of['last']['acc']}, ECE {of['last']['ece']}; "
            f"best epochs ({epochs}) accuracy {of['best']['acc']}, ECE {of['best']['ece']}; "
            f"chosen on the test set: accuracy +{show(gains['acc'])}, ECE {show(gains['ece'])} points"
        )
    return said


def main() -> None:
    """Print it for the experiment of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.best_epoch", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", default="0", help="such as 0,1,2; default: 0")
    parser.add_argument("--out", type=Path, help="a JSON file, which has the seeds that are done already")
    parser.add_argument("overrides", nargs="+", metavar="KEY=VALUE")
    args = parser.parse_intermixed_args()
    settings = [word for word in args.overrides if not word.startswith("dataset.root=")]
    done: dict[str, Any] = json.loads(args.out.read_text()) if args.out and args.out.exists() else {"runs": {}}
    if done.get("overrides", settings) != settings:
        raise SystemExit(f"{args.out} is of {' '.join(done['overrides'])}: take another file")
    for seed in args.seeds.split(","):
        if seed in done["runs"]:
            continue
        cfg = configuration([*args.overrides, f"seed={seed}"])
        with TemporaryDirectory() as folder:
            done["runs"][seed] = last_and_best(watched_run(cfg, Path(folder)))
        network = {part: part_of(plain(cfg)["model"][part]) for part in ("backbone", "classifier")}
        done |= {"overrides": settings, "network": network}
        if args.out:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            write_json(args.out, done)
    print("\n".join(lines([done["runs"][seed] for seed in args.seeds.split(",")])))


if __name__ == "__main__":
    main()
