"""``python -m lt_calib.campaign NAME --budget 25m``: run what of a matrix of jobs is not done yet, as time allows.

A campaign is a file of conf/campaign. Each finished job leaves its results.json, and the numbers of its grid if it has
one, below results/NAME; what is there is done. A job that the budget ends goes on from its last finished epoch the
next time.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from lt_calib.config import RESULTS_SCHEMA, conf_dir, flatten, register, without_effect
from lt_calib.errors import InputError

GRACE = 60.0  # seconds that a job has to end when it is told to
UNITS = {"s": 1, "m": 60, "h": 3600}
KEYS = {"seed", "if", "dataset", "experiment", "variant", "val_per_class", "overrides"}


@dataclass(frozen=True)
class Job:
    """One command, and where its results.json goes."""

    overrides: tuple[str, ...]
    file: Path  # below results/NAME


def campaigns() -> Path:
    """Return the folder of the campaigns' files."""
    return conf_dir() / "campaign"


def jobs_of(name: str) -> list[Job]:
    """List a campaign's jobs in the order in which they are run.

    Raises:
        InputError: there is no such campaign, or a key of it that nothing reads.
    """
    path = campaigns() / f"{name}.yaml"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml")))
        raise InputError(f"no campaign {name}; there are: {there}")
    matrix: Any = OmegaConf.to_container(OmegaConf.load(path))
    unknown = sorted(set(matrix) - KEYS)
    if unknown:
        raise InputError(f"{path}: unknown {', '.join(unknown)}; there are: {', '.join(sorted(KEYS))}")
    variants = matrix.get("variant", {"plain": []})
    jobs = []
    axes = (matrix["seed"], variants.items(), matrix["if"], matrix["dataset"], matrix["experiment"])
    for seed, (variant, changes), factor, dataset, experiment in product(*axes):
        facts = {"val_per_class": matrix.get("val_per_class", {}).get(dataset), "experiment": experiment}
        overrides = [
            f"+experiment={experiment}",
            f"dataset={dataset}",
            f"dataset.if={factor}",
            f"seed={seed}",
            *(change.format(**facts) for change in [*matrix.get("overrides", []), *changes]),
        ]
        file = Path(f"{dataset}_if{factor}") / f"{experiment}_{variant}_seed{seed}.json"
        jobs.append(Job(tuple(overrides), file))
    return jobs


def left(jobs: Sequence[Job], results: Path) -> list[Job]:
    """Return the jobs without results, in their order.

    Raises:
        InputError: results there are of other settings than the job's would be now, or cannot be read.
    """
    todo = []
    for job in jobs:
        path = results / job.file
        if path.exists():
            refuse_other_results(job, path)
        else:
            todo.append(job)
    return todo


def refuse_other_results(job: Job, path: Path) -> None:
    """Refuse results that this job would not give: a setting of the job, an experiment or a default has changed.

    A setting that only one of the two has is taken for one that came or went with its default; the trainer's may differ
    between machines.
    """
    cure = "move it away to have it run again"
    try:
        content = json.loads(path.read_text())
        schema, kept = content["schema"], content["campaign"]["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds no results of a campaign ({error!r}): {cure}") from error
    if schema != RESULTS_SCHEMA:
        raise InputError(f"{path} has schema {schema}, and this version writes {RESULTS_SCHEMA}: {cure}")
    now = settings_of(job.overrides)
    other = [key for key in sorted(kept.keys() & now.keys()) if kept[key] != now[key]]
    if other:
        said = "; ".join(f"{key} was {kept[key]} and is {now[key]}" for key in other)
        raise InputError(f"{path} was run with other settings ({said}): {cure}")


@cache
def settings_of(overrides: tuple[str, ...]) -> dict[str, Any]:
    """Compose a job's settings, flat, but for those that change no number and the trainer's."""
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return settings_in(OmegaConf.to_container(compose("config", list(overrides)), resolve=True))


def settings_in(config: Any) -> dict[str, Any]:
    """Take the settings of a composed configuration, flat, but for those that change no number and the trainer's."""
    return {k: v for k, v in flatten(config).items() if not (without_effect(k) or k.startswith("trainer."))}


def refuse_other_extra(extra: Sequence[str]) -> None:
    """Refuse what would make other numbers than the campaign's file says."""
    other = [
        word
        for word in extra
        if not without_effect(key := word.lstrip("+").split("=")[0])
        and not (key == "trainer" or key.startswith("trainer."))
    ]
    if other:
        raise InputError(
            f"{' '.join(other)}: here only what makes no other numbers may be set, such as dataset.root and trainer; "
            "another setting belongs into the campaign's file"
        )


def seconds_of(text: str) -> float:
    """Read ``25m``, ``90s`` or ``8h``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text} must be a number and s, m or h, such as 25m")
    return float(found[1]) * UNITS[found[2]]


def run_job(
    job: Job, name: str, work: Path, results: Path, extra: Sequence[str], end: float, stop: threading.Event
) -> str:
    """Run one job until it is finished or the time is over.

    Args:
        job: What is run.
        name: The campaign's.
        work: Where its folder is.
        results: Where its results.json goes.
        extra: Further settings, that change no number.
        end: On the monotonic clock, seconds.
        stop: Set where the time is over for another reason.

    Returns:
        ``"done"``, ``"not finished"`` or ``"failed"``.
    """
    folder = work / name / job.file.with_suffix("")
    command = [sys.executable, "-m", "lt_calib.run", *job.overrides, *extra, f"hydra.run.dir={folder}"]
    if time.monotonic() >= end or stop.is_set():
        return "not finished"
    print(f"{job.file}: {' '.join(job.overrides)}", flush=True)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while process.poll() is None and time.monotonic() < end and not stop.is_set():
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
    told = process.poll() is None
    if told:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()  # every finished epoch is kept in any case
            process.wait()
    if process.returncode != 0:
        return "not finished" if told else "failed"
    keep(folder / "results.json", job, name, results / job.file)
    return "done"


def keep(source: Path, job: Job, name: str, target: Path) -> None:
    """Copy a job's results.json, with the campaign's name and all settings, and its grid's main metrics."""
    from lt_calib.report.rows import METRICS
    from lt_calib.results import write_json

    content = json.loads(source.read_text())
    target.parent.mkdir(parents=True, exist_ok=True)
    grid = source.with_name("grid.json")
    if grid.exists():
        found = json.loads(grid.read_text())
        points = [
            {key: point[key] for key in ("settings", "diverged") if key in point}
            | {
                split: {metric: point[split][metric] for metric in METRICS}
                for split in ("val", "test")
                if split in point
            }
            for point in found["points"]
        ]
        write_json(target.with_suffix(".grid.json"), found | {"points": points})
    settings = settings_in(OmegaConf.to_container(OmegaConf.load(source.with_name("config.yaml"))))
    about = {"name": name, "overrides": list(job.overrides), "settings": settings}
    write_json(target, content | {"campaign": about})


def status(jobs: Sequence[Job], todo: Sequence[Job]) -> Iterator[str]:
    """Say for each data set and imbalance factor which jobs are done: experiment, variant, number of seeds."""
    for folder in dict.fromkeys(job.file.parent for job in jobs):
        names = {job: job.file.stem.rpartition("_seed")[0] for job in jobs if job.file.parent == folder}
        of = Counter(names.values())
        done = of - Counter(names[job] for job in todo if job in names)
        yield f"{folder}: {done.total()} of {of.total()}"
        yield from (f"  {name}: {done[name]} of {of[name]}" for name in of if done[name])


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m lt_calib.campaign", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", help="a file of conf/campaign")
    parser.add_argument("--budget", type=seconds_of, default=float("inf"), metavar="TIME", help="25m, 90s or 8h")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where finished jobs' results.json go")
    parser.add_argument("--work", type=Path, default=Path("outputs/campaign"), help="where the jobs run")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="jobs side by side, on one GPU, say")
    parser.add_argument("--status", action="store_true", help="say what is done, and run nothing")
    parser.add_argument("extra", nargs="*", metavar="KEY=VALUE", help="dataset.root=DIR, trainer=gpu")
    args = parser.parse_intermixed_args()
    signal.signal(signal.SIGTERM, lambda *how: sys.exit(128 + signal.SIGTERM))
    end = time.monotonic() + args.budget
    results = args.results / args.name
    try:
        refuse_other_extra(args.extra)
        jobs = jobs_of(args.name)
        todo = left(jobs, results)
    except InputError as error:
        sys.exit(str(error))
    if args.status:
        print("\n".join(status(jobs, todo)))
        return
    stop = threading.Event()
    with ThreadPoolExecutor(max(1, args.jobs)) as pool:
        try:
            said = list(pool.map(lambda job: run_job(job, args.name, args.work, results, args.extra, end, stop), todo))
        finally:
            stop.set()  # where the campaign itself is told to end, its jobs end too
    for word in ("failed", "not finished"):
        these = [job for job, ended in zip(todo, said, strict=True) if ended == word]
        print(f"{len(these)} {word}" + "".join(f"\n  {job.file}" for job in these[: 10 if word == "failed" else 1]))
    print(f"{len(jobs) - len(todo) + said.count('done')} of {len(jobs)} done; python -m lt_calib.report {results}")
    sys.exit(1 if "failed" in said else 0)


if __name__ == "__main__":
    main()
