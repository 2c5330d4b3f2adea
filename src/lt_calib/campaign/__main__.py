"""``python -m lt_calib.campaign NAME --budget 25m``: run what of a matrix of jobs is not done yet, as time allows.

A campaign is a file of conf/campaign. Each finished job leaves its results.json, and the numbers of its grid if it has
one, below results/NAME; what is there is done. A job that the budget ends goes on from its last finished epoch the
next time.
"""

import argparse
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from lt_calib.campaign.jobs import Job, jobs_of, left
from lt_calib.campaign.work import GRACE, run_all, run_job
from lt_calib.closed_pipe import outlive_reader
from lt_calib.errors import InputError
from lt_calib.files.folder import check_writable
from lt_calib.settings.table import matters_for

UNITS = {"s": 1, "m": 60, "h": 3600}


def seconds_of(text: str) -> float:
    """Read ``25m``, ``90s`` or ``8h``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text} must be a number and s, m or h, such as 25m")
    return float(found[1]) * UNITS[found[2]]


def at_least_one(text: str) -> int:
    """Read a whole number >= 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} must be a whole number >= 1")
    return int(text)


def refuse_other_extra(extra: Sequence[str]) -> None:
    """Refuse what would make other results than the campaign's file says, or put them into another folder."""

    def is_free(key: str) -> bool:
        return key != "resume" and (key.split(".")[0] == "trainer" or not matters_for(key))

    other = [word for word in extra if not is_free(word.lstrip("+").split("=")[0])]
    if other:
        raise InputError(
            f"{' '.join(other)}: here only where the data are and what it runs on may be set, such as dataset.root=DIR "
            "and trainer=gpu; another setting belongs into the campaign's file"
        )


def only(jobs: Sequence[Job], pattern: str) -> list[Job]:
    """Take the jobs whose file below results/NAME, without its ending, is as a pattern of the shell's.

    Raises:
        InputError: there are none.
    """
    these = [job for job in jobs if fnmatch(str(job.file.with_suffix("")), pattern)]
    if not these:
        raise InputError(f"--only {pattern} is no job of this campaign; one is {jobs[0].file.with_suffix('')}")
    return these


def status(jobs: Sequence[Job], todo: Sequence[Job]) -> Iterator[str]:
    """Say how many jobs are done, and which of each data set and factor: experiment, variant, number of seeds."""
    yield f"{len(jobs) - len(todo)} of {len(jobs)} done"
    for folder in dict.fromkeys(job.file.parent for job in jobs):
        names = {job: job.file.stem.rpartition("_seed")[0] for job in jobs if job.file.parent == folder}
        of = Counter(names.values())
        done = of - Counter(names[job] for job in todo if job in names)
        yield f"{folder}: {done.total()} of {of.total()}"
        yield from (f"  {name}: {done[name]} of {of[name]}" for name in of if done[name])


def main() -> None:
    """Run the command."""
    outlive_reader()
    parser = argparse.ArgumentParser(prog="python -m lt_calib.campaign", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("name", help="a file of conf/campaign")
    ends = f"25m, 90s or 8h; what runs then is told to end, and killed {GRACE:.0f} s later; default: no end"
    add("--budget", type=seconds_of, default=float("inf"), metavar="TIME", help=ends)
    add("--results", type=Path, default="results", help="where finished jobs' results.json go; default: results")
    add("--work", type=Path, default="outputs/campaign", help="where the jobs run; default: outputs/campaign")
    add("--jobs", type=at_least_one, default=1, metavar="N", help="jobs side by side; default: 1")
    add("--only", default="*", metavar="PATTERN", help="a part of the jobs, such as 'cifar10_lt_if100/*_seed0'")
    add("--status", action="store_true", help="say what is done, and run nothing")
    add("extra", nargs="*", metavar="KEY=VALUE", help="dataset.root=DIR, trainer=gpu")
    args = parser.parse_intermixed_args()
    end = time.monotonic() + args.budget
    signal.signal(signal.SIGTERM, lambda *how: sys.exit(128 + signal.SIGTERM))
    results = args.results / args.name
    try:
        refuse_other_extra(args.extra)
        jobs = only(jobs_of(args.name), args.only)
        todo = left(jobs, results)
        if not args.status:
            check_writable(results)
    except InputError as error:
        sys.exit(str(error))
    if args.status:
        print("\n".join(status(jobs, todo)))
        return
    stop = threading.Event()
    where = {"name": args.name, "work": args.work, "results": results, "extra": args.extra}
    run = partial(run_job, **where, end=end, stop=stop, beside=args.jobs > 1)
    said = run_all(todo, run, args.jobs, stop)
    for word, most in {"failed": 10, "in use": 1, "not finished": 1}.items():
        these = [job.file for job in todo if said[job] == word]
        if these:
            print(f"{len(these)} {word}{', the first of them' * (len(these) > most)}")
            print("\n".join(f"  {file}" for file in these[:most]))
    done = len(jobs) - sum(word != "done" for word in said.values())
    print(f"{done} of {len(jobs)} done; python -m lt_calib.report {results}")
    sys.exit(1 if "failed" in said.values() else 0)


if __name__ == "__main__":
    main()
