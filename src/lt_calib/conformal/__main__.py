"""Prediction sets of a finished run, which have the true class as often as is asked for.

``python -m lt_calib.conformal RUN_FOLDER class_wise --alpha 0.1``
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

from lt_calib.closed_pipe import outlive_reader
from lt_calib.conformal.base import check_alpha
from lt_calib.conformal.coverage import in_short
from lt_calib.conformal.of_run import FITS, draw, measure_run, read_run
from lt_calib.files.folder import check_writable

COLUMNS = 79


def main() -> None:
    """Run the command."""
    outlive_reader()
    parser = argparse.ArgumentParser(prog="python -m lt_calib.conformal", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN_FOLDER", help="a finished run's")
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=f"{', '.join(FITS)}; default: all of them")
    parser.add_argument("--alpha", type=float, default=0.1, help="share of true classes that sets may miss; 0.1")
    parser.add_argument("--weight", type=float, default=0.5, help="of class-wise thresholds in interpolated; 0.5")
    parser.add_argument("--trust", action="store_true", help="build parts from outside lt_calib that the run names")
    args = parser.parse_args()
    methods = args.methods or list(FITS)
    unknown = [method for method in methods if method not in FITS]
    if unknown:
        parser.error(f"{unknown[0]} is no kind of sets: there are {', '.join(FITS)}")
    try:
        check_writable(args.run, "results.json")
        found, doubts = measure_run(args.run, methods, check_alpha(args.alpha), args.weight, args.trust)
        print("\n".join(table(found, methods)))
        paths = draw(args.run, *read_run(args.run), methods, args.weight, args.trust)
        print(f"written: {args.run / 'results.json'}, {paths[0]}")
        for line in [*(f"warning: {said}" for said in doubts), in_short(found)]:
            print(fill(line, COLUMNS))
    except ValueError as error:
        sys.exit(str(error))


def table(found: Mapping[str, Any], methods: list[str]) -> list[str]:
    """Lay coverage and size out, a line for each stage and kind of sets, in at most 80 columns."""
    stages = [stage for stage in ("stage1", "stage2") if stage in found]
    groups = list(found[stages[0]][methods[0]]["groups"])
    lines = [
        f"test set, sets that may miss {100 * found['alpha']:g} %: coverage, %, with 95 % interval",
        f"{'stage':17}{'all':>18}{'macro':>7}" + "".join(f"{g[:6]:>7}" for g in groups) + f"{'under':>7}{'size':>7}",
    ]
    for stage in stages:
        for method in methods:
            about = found[stage][method]
            share, low, high = (100 * about["marginal"][key] for key in ("coverage", "low", "high"))
            every = f"{share:.1f} ({low:.1f}, {high:.1f})"
            of = "".join(f"{100 * s['coverage']:7.1f}" if s else f"{'-':>7}" for s in about["groups"].values())
            under = 100 * about["under_covered"]
            name = f"{stage[-1]} {method}"
            lines.append(f"{name:17}{every:>18}{100 * about['macro']:7.1f}{of}{under:7.0f}{about['size']:7.2f}")
            if about["fell_back"]:
                few = about["fell_back"]
                named = ", ".join(map(str, few[:8])) + ", ..." * (len(few) > 8)
                lines += fill(
                    f"{len(few)} classes of too few held-out images for a threshold of their own share one: {named}",
                    COLUMNS, initial_indent="  ", subsequent_indent="  ",
                ).splitlines()  # fmt: skip
    return [*lines, "under: classes, %, covered more than ten points below what is promised"]


if __name__ == "__main__":
    main()
