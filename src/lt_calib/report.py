"""Tables of finished runs: mean and standard deviation over seeds, with the schedule and the hardware beside them.

``python -m lt_calib.report FOLDER...`` reads every results.json below the folders and prints Markdown.
"""

import argparse
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Results = dict[str, Any]
METRICS = {
    "acc": "accuracy",
    "ece": "ECE",
    "nll": "NLL",
    "acc_head": "head",
    "acc_medium": "medium",
    "acc_tail": "tail",
}


def read_runs(folders: Sequence[Path]) -> list[Results]:
    """Read every file ``*.json`` with a run's results below the folders, once each.

    Raises:
        SystemExit: a folder that is not there.
    """
    paths: dict[Path, None] = {}
    for folder in folders:
        if not folder.exists():
            sys.exit(f"{folder} is not there; name folders with finished runs, outputs/ say")
        paths |= dict.fromkeys(p.resolve() for p in sorted(folder.rglob("*.json")))
    read = [json.loads(path.read_text()) for path in paths]
    return [content for content in read if isinstance(content, dict) and content.get("schema") == 1]


def unfinished(folders: Sequence[Path]) -> list[Path]:
    """Name the runs' folders that hold no results: failed, or still running."""
    found = {p.parent for folder in folders for p in folder.rglob("config.yaml") if p.parent.name != ".hydra"}
    return sorted(p for p in found if not (p / "results.json").exists())


def show(values: list[float | None], percent: bool) -> str:
    """Format a mean, with its standard deviation (n - 1) where there are several values; ``-`` where one is missing."""
    numbers = [v for v in values if v is not None and math.isfinite(v)]
    if len(numbers) < len(values) or not numbers:
        return "-"
    scale, digits = (100, 2) if percent else (1, 3)
    mean = f"{scale * statistics.mean(numbers):.{digits}f}"
    return mean if len(numbers) == 1 else f"{mean} ± {scale * statistics.stdev(numbers):.{digits}f}"


def table(runs: Sequence[Results], split: str = "test") -> str:
    """Make one Markdown table: a row a method, schedule and stage; percent, but for the NLL (nats).

    Args:
        runs: Contents of results.json.
        split: ``"test"`` or ``"val"``; a run without that split has no row.
    """
    groups: dict[tuple[Any, ...], list[Results]] = defaultdict(list)
    for run in (r for r in runs if split in r["stage1"]):
        data, two = run["dataset"], run["stage2"]
        epochs = f"{run['stage1']['epochs']}" + (f" + {two['epochs']}" if two else "")
        precision = run["environment"]["precision"]
        where = (data["name"], data["imbalance_factor"], data.get("val_per_class", 0))
        key = (*where, run["name"], epochs, run["environment"]["device"], precision, run.get("settings", ""))
        same = [other for other in groups[key] if other["seed"] == run["seed"]]
        if not any(other["stage1"] == run["stage1"] and other["stage2"] == two for other in same):  # a copy counts once
            groups[key].append(run)
    head = ["data", "IF", "method", "epochs", "stage", *METRICS.values(), "seeds", "hardware, precision"]
    rows = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for (name, factor, val, method, epochs, device, precision, _), group in sorted(groups.items()):
        for stage in ("stage1", "stage2"):
            if group[0][stage] is None:
                continue
            values = [
                show([run[stage][split].get(metric) for run in group], percent=metric != "nll") for metric in METRICS
            ]
            seeds = ", ".join(str(s) for s in sorted(run["seed"] for run in group))
            data = f"{name}, {val} a class held out" if val else name
            cells = [data, f"{factor:g}", f"`{method}`", epochs, stage[-1], *values, seeds, f"{device}, {precision}"]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="searched for results.json")
    parser.add_argument("--split", choices=("test", "val"), default="test", help="val: the held-out validation part")
    args = parser.parse_args()
    runs = read_runs(args.folders)
    if runs:
        print(table(runs, args.split))
    for path in unfinished(args.folders):
        print(f"not finished: {path}")
    if not runs:
        sys.exit("no finished run was found")


if __name__ == "__main__":
    main()
