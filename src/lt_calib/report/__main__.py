"""``python -m lt_calib.report FOLDER...``: tables of finished runs, and with --out DIR all of them as files and a page.

A run that failed or has not finished is listed as such, and not counted.
"""

import argparse
import sys
from pathlib import Path
from textwrap import fill

from lt_calib.closed_pipe import outlive_reader
from lt_calib.errors import InputError
from lt_calib.files.folder import check_writable
from lt_calib.report.by_factor import by_factor
from lt_calib.report.columns import STAGES, USUAL, chosen, columns_of, usual
from lt_calib.report.group import plain
from lt_calib.report.matrix import matrix
from lt_calib.report.paired import method_effects, seed_noise, stage_effects
from lt_calib.report.read import read_runs, unfinished
from lt_calib.report.rows import summarise
from lt_calib.report.screen import print_rows, print_table
from lt_calib.report.surface import surfaces
from lt_calib.report.verdict import best_against_all, reproduced
from lt_calib.report.written import WHERE, write

MOST_OPEN = 10  # named on the screen; the page names all


def main() -> None:
    """Run the command."""
    outlive_reader()
    parser = argparse.ArgumentParser(prog="python -m lt_calib.report", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="searched for results; or one's file")
    parser.add_argument("--split", choices=("test", "val"), default="test", help="val: the held-out validation part")
    parser.add_argument("--reference", metavar="METHOD", help="what every other method's difference is taken from")
    parser.add_argument("--columns", metavar="NAMES", help=f"of screen, LaTeX and page: {','.join(USUAL)} or others")
    parser.add_argument("--rows", metavar="PATTERN", help="only methods that this regular expression finds")
    parser.add_argument("--stage", choices=STAGES, help="only these rows; last: of each run its last stage")
    parser.add_argument("--all", action="store_true", help="print every table that --out writes")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write report.md, .csv, .tex, .html and figures there")
    parser.add_argument("--point", type=int, metavar="K", help="draw point K of one run's grid in full")
    parser.add_argument("--prior", metavar="PRIOR", help="weigh the test images: uniform, train, forward50, COUNTS.csv")
    parser.add_argument("--unknown", type=Path, metavar="DIR", help="one run's scores against images of no class of it")
    parser.add_argument("--trust", action="store_true", help="with --unknown: build parts from outside lt_calib")
    args = parser.parse_args()
    try:
        if args.point is not None:
            from lt_calib.report.point import draw_point

            if len(args.folders) != 1:
                sys.exit("--point draws one run: name its folder alone")
            folder = args.folders[0].parent if args.folders[0].is_file() else args.folders[0]
            print("\n".join(map(plain, draw_point(folder, args.point))))
            return
        if args.unknown is not None:
            from lt_calib.unknown.of_run import lines_of, measure_unknown

            if len(args.folders) != 1:
                sys.exit("--unknown is of one run: name its folder alone")
            check_writable(args.folders[0], "results.json", cure="copy the run to one that can")
            for line in lines_of(*measure_unknown(args.folders[0], args.unknown, args.trust), args.unknown):
                print(fill(plain(line), 79, break_long_words=False) if len(line) > 79 else plain(line))
            return
        if args.out:
            check_writable(args.out)
        runs = read_runs(args.folders)
        if args.prior is not None:
            from lt_calib.report.at_prior import print_at_prior

            if args.split != "test":
                sys.exit("--prior weighs the test images: leave --split val out")
            print_at_prior(runs, args.prior, args.out)
            return
    except (InputError, FileNotFoundError) as error:
        sys.exit(str(error))
    open_jobs = unfinished(args.folders)
    rows = summarise(runs, args.split)
    for path in open_jobs[:MOST_OPEN]:
        print(f"not finished: {plain(path)}")
    if len(open_jobs) > MOST_OPEN:
        print(f"not finished: {len(open_jobs) - MOST_OPEN} more")
    if not rows:
        sys.exit(f"no finished run with a {args.split} part was found")
    try:
        columns = columns_of(args.columns.split(","), rows) if args.columns else usual(rows)
        rows = chosen(rows, args.rows, args.stage, args.split)
    except InputError as error:
        sys.exit(str(error))
    effects = method_effects(rows, args.reference) if args.reference else []
    if args.reference and not effects:
        names = ", ".join(sorted({row.group.method for row in rows}))
        sys.exit(f"--reference {args.reference}: no other method ran beside it; there are: {names}")
    print_rows(rows, columns, WHERE[args.split])
    for table in effects:
        print_table(table)
    if not args.all and not args.out:
        print("--out DIR writes more tables, LaTeX and a page; --all prints those tables.")
        return
    tables = by_factor(rows) + stage_effects(rows) + seed_noise(rows)
    if args.split == "test":
        tables += reproduced(rows) + best_against_all(rows) + matrix(rows)
    tables += surfaces(runs, args.split)
    if args.all:
        for table in tables:
            print_table(table)
    if args.out:
        try:
            write(args.out, runs, rows, columns, [*effects, *tables], open_jobs, args.split)
        except OSError as error:
            sys.exit(f"{args.out} cannot be written to: {error}")


if __name__ == "__main__":
    main()
