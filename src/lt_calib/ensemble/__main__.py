"""The average of finished runs' predictions, which is a run like any other.

``python -m lt_calib.ensemble RUN_FOLDER RUN_FOLDER ... --out DIR``
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

from lt_calib.closed_pipe import outlive_reader
from lt_calib.ensemble.average import KINDS
from lt_calib.ensemble.of_runs import average_runs
from lt_calib.files.folder import check_writable
from lt_calib.job.screen import print_table

COLUMNS = 79


def main() -> None:
    """Run the command."""
    outlive_reader()
    parser = argparse.ArgumentParser(prog="python -m lt_calib.ensemble", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN_FOLDER", help="finished runs of the same data")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder, for the average")
    parser.add_argument("--of", default="probabilities", choices=KINDS, help="what is averaged; probabilities")
    parser.add_argument("--trust", action="store_true", help="build parts from outside lt_calib that the runs name")
    args = parser.parse_args()
    try:
        check_writable(args.out)
        results = average_runs(args.runs, args.out, args.of, args.trust)
    except ValueError as error:
        sys.exit(str(error))
    print_table(results)
    print(f"written: {args.out}")
    for line in said(results):
        print(fill(line, COLUMNS, break_long_words=False))


def said(results: Mapping[str, Any]) -> list[str]:
    """Say the last stage's gain over its members, and what their disagreement is good for."""
    stage = "stage2" if results["stage2"] is not None else "stage1"
    about, test = results["ensemble"][stage], results[stage]["test"]
    before, lines = about["mean_of_members"], []
    shown = {"acc": ("right", 100, " %"), "ece": ("ECE", 100, " %"), "nll": ("NLL", 1, "")}
    changes = [
        f"{name} {scale * before[key]:.{1 if unit else 3}f} to {scale * test[key]:.{1 if unit else 3}f}{unit}"
        for key, (name, scale, unit) in shown.items()
        if key in before
    ]
    if changes:
        lines.append(f"In short: from a member on average to all together, {', '.join(changes)}.")
    if about["auroc_of_errors"] is not None:
        lines.append(
            f"Of a wrong and a right prediction the wrong one has the larger disagreement in "
            f"{100 * about['auroc_of_errors']:.0f} of 100 cases, and the lower confidence in "
            f"{100 * about['auroc_of_confidence']:.0f}."
        )
    if any("val" in results[name] for name in ("stage1", "stage2") if results[name]):
        lines.append("Members are averaged without their calibrators: lt_calib.calibrate calibrates the average.")
    return lines


if __name__ == "__main__":
    main()
