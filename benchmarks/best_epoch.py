"""What choosing the epoch on the test set would add: ``python -m benchmarks.best_epoch +experiment=ce dataset=...``.

The package never looks at the test set before the end. This script does, after every epoch, to say how much a number is
worth that was chosen so: the accuracy of the best epoch beside that of the last one.
"""

import csv
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from lt_calib import build
from lt_calib.config import conf_dir, register
from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.run import run

# The cache would keep the histories for others.
WATCHED = ["trainer.eval_every=1", "cache=off", "figures=false", "dataset.val_per_class=0", "posthoc=none"]


def watched_run(overrides: list[str], folder: Path) -> list[dict[str, str]]:
    """Run an experiment with the test set in the place of the validation part, and return its history."""
    whole = build.build_data

    def watched(cfg: DictConfig) -> LongTailedDataModule:
        data = whole(cfg)
        data.splits["val"] = data.splits["test"]
        return data

    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("config", [*overrides, *WATCHED])
    build.build_data = watched
    try:
        run(cfg, folder)
    finally:
        build.build_data = whole
    with (folder / "history.csv").open() as stream:
        return list(csv.DictReader(stream))


def gains(history: list[dict[str, str]]) -> list[str]:
    """Say of each stage what its last and its best epoch have, in percent."""
    lines = []
    for stage in sorted({row["stage"] for row in history}):
        rows = [row for row in history if row["stage"] == stage]
        best = max(rows, key=lambda row: float(row["val_acc"]))
        (a, b), (c, d) = ((100 * float(row[key]) for key in ("val_acc", "val_ece")) for row in (rows[-1], best))
        lines.append(
            f"stage {stage}: last epoch accuracy {a:.2f}, ECE {b:.2f}; best of {len(rows)} epochs ({best['epoch']}) "
            f"accuracy {c:.2f}, ECE {d:.2f}; chosen on the test set {c - a:+.2f} points"
        )
    return lines


def main() -> None:
    """Print it for the experiment of the command line."""
    with TemporaryDirectory() as folder:
        print("\n".join(gains(watched_run(sys.argv[1:], Path(folder)))))


if __name__ == "__main__":
    main()
