"""Run the jobs that are left, and keep what they leave."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lt_calib.campaign.jobs import Job, refuse_other_results, stage1_of
from lt_calib.errors import InputError
from lt_calib.files.lock import InUseError, alone_in
from lt_calib.settings.table import SAME_JOB, settings_for

GRACE = 60.0  # seconds that a job has to end when it is told to
OF_A_GRID = ("acc", "ece", "overconf", "nll", "acc_head", "acc_medium", "acc_tail")  # are kept of its points
GIVE_UP = 3  # jobs that fail before any is done: what is missing is missing to all of them


def run_job(
    job: Job, name: str, work: Path, results: Path, extra: Sequence[str], end: float, stop: threading.Event,
    beside: bool = False,
) -> str:  # fmt: skip
    """Run one job until it is finished or the time is over.

    Args:
        job: What is run.
        name: The campaign's.
        work: Where its folder is.
        results: Where its results.json goes.
        extra: Further settings, that change no number.
        end: On the monotonic clock, seconds.
        stop: Set where the time is over for another reason.
        beside: Whether others run beside it: then each line that it says begins with its name.

    Returns:
        ``"done"``, ``"not finished"``, ``"in use"`` where another campaign is at it, or ``"failed"``.
    """
    folder = work / name / job.file.with_suffix("")
    quoted = str(folder).replace("'", "\\'")  # by Hydra's grammar
    command = [sys.executable, "-m", "lt_calib.run", *job.overrides, *extra, f"hydra.run.dir='{quoted}'"]
    command += [f"hydra.callbacks.jobs.name='{job.file.stem}'"] if beside else []
    if time.monotonic() >= end or stop.is_set():
        return "not finished"
    try:
        if (results / job.file).exists():  # another campaign beside this one has run it meanwhile
            refuse_other_results(job, results / job.file)
            return "done"
        folder.mkdir(parents=True, exist_ok=True)
        with alone_in(folder):
            pass
    except InUseError:
        print(f"{job.file} is being run by another process", flush=True)
        return "in use"
    except (OSError, InputError) as error:
        print(error, file=sys.stderr)
        return "failed"
    print(f"{job.file}: {' '.join(job.overrides)}", flush=True)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while process.poll() is None and time.monotonic() < end and not stop.is_set():
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
    told = process.poll() is None
    if told:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        process.kill()  # if it still runs; every finished epoch is kept in any case
        process.wait()
    if process.returncode != 0:
        return "not finished" if told else "failed"
    try:
        keep(folder / "results.json", job, name, results / job.file)
    except (OSError, ValueError) as error:  # the other jobs go on
        print(f"{job.file} could not be kept: {error}", file=sys.stderr)
        return "failed"
    return "done"


def run_all(todo: Sequence[Job], run: Callable[[Job], str], workers: int, stop: threading.Event) -> dict[Job, str]:
    """Run jobs in their order, several side by side; those of one stage 1 one after another, since one trains it.

    Where the time is over, or the first ``GIVE_UP`` that ended have all failed, no further one begins.

    Args:
        todo: What is run.
        run: Runs one, and says how it ended.
        workers: >= 1.
        stop: Set where this process is told to end, so that what runs ends too.

    Returns:
        What each said; what did not begin is ``"not finished"``.
    """
    waiting, running, said = list(todo), dict[Future[str], Job](), dict[Job, str]()

    def hopeless() -> bool:
        return list(said.values())[:GIVE_UP] == ["failed"] * GIVE_UP

    def next_job() -> Job | None:
        if len(running) == workers or stop.is_set() or "not finished" in said.values() or hopeless():
            return None
        busy = {stage1_of(job) for job in running.values()}
        return next((job for job in waiting if not busy or stage1_of(job) not in busy), None)

    with ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                while job := next_job():
                    waiting.remove(job)
                    running[pool.submit(run, job)] = job
                if not running:
                    break
                for ended in wait(running, return_when=FIRST_COMPLETED).done:
                    said[running.pop(ended)] = ended.result()
        finally:
            stop.set()
    if waiting and hopeless():
        print(f"the first {GIVE_UP} jobs failed: no other was begun; --only passes them by", file=sys.stderr)
    return {job: said.get(job, "not finished") for job in todo}


def keep(source: Path, job: Job, name: str, target: Path) -> None:
    """Copy a job's results.json, with the campaign's name and all settings, and its grid's main metrics."""
    from lt_calib.job.results import write_json

    content = json.loads(source.read_text())
    target.parent.mkdir(parents=True, exist_ok=True)
    grid = source.with_name("grid.json")
    if grid.exists():
        found = json.loads(grid.read_text())
        found["points"] = [_main_metrics(point) for point in found["points"]]
        write_json(target.with_suffix(".grid.json"), found)
    config: Any = OmegaConf.to_container(OmegaConf.load(source.with_name("config.yaml")))
    about = {"name": name, "overrides": list(job.overrides), "settings": settings_for(config, SAME_JOB)}
    write_json(target, content | {"campaign": about})


def _main_metrics(point: dict[str, Any]) -> dict[str, Any]:
    kept = {key: point[key] for key in ("settings", "diverged") if key in point}
    for split in ("val", "test"):
        if split in point:
            kept[split] = {metric: point[split][metric] for metric in OF_A_GRID if metric in point[split]}
    return kept
