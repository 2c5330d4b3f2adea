"""The jobs of a campaign, a file of conf/campaign, and which of them have results."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lt_calib.errors import InputError
from lt_calib.job.record import RESULTS_SCHEMA
from lt_calib.settings.schema import composed, conf_dir, plain
from lt_calib.settings.table import SAME_JOB, hash_of, settings_for

NEEDED = {"seed", "if", "dataset", "experiment"}
KEYS = NEEDED | {"variant", "val_per_class", "overrides"}


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
    missing, unknown = sorted(NEEDED - set(matrix)), sorted(set(matrix) - KEYS)
    if missing:
        raise InputError(f"{path}: {', '.join(missing)} is missing")
    if unknown:
        raise InputError(f"{path}: unknown {', '.join(unknown)}; there are: {', '.join(sorted(KEYS))}")
    common, held_out = matrix.get("overrides", []), matrix.get("val_per_class", {})
    variants = {name: [*common, *changes] for name, changes in matrix.get("variant", {"plain": []}).items()}
    without = sorted(set(matrix["dataset"]) - set(held_out))
    if without and "{val_per_class}" in str(variants):
        raise InputError(f"{path}: val_per_class has no {', '.join(without)}, for which a job asks")
    jobs = []
    axes = (matrix["seed"], matrix["if"], variants.items(), matrix["dataset"], matrix["experiment"])
    for seed, factor, (variant, changes), dataset, experiment in product(*axes):
        facts = {"val_per_class": held_out.get(dataset), "experiment": experiment}
        own = (f"+experiment={experiment}", f"dataset={dataset}", f"dataset.if={factor}", f"seed={seed}")
        overrides = own + tuple(_filled_in(change, facts, path) for change in changes)
        file = Path(f"{dataset}_if{factor}") / f"{experiment}_{variant}_seed{seed}.json"
        jobs.append(Job(overrides, file))
    return jobs


def _filled_in(change: str, facts: dict[str, Any], path: Path) -> str:
    try:
        return change.format(**facts)
    except (KeyError, ValueError, IndexError) as error:
        filled = ", ".join(f"{{{fact}}}" for fact in facts)
        cure = f"only {filled} are filled in; write other braces twice"
        raise InputError(f"{path}: {change} has braces that stand for nothing here ({error!r}): {cure}") from error


def left(jobs: Sequence[Job], results: Path) -> list[Job]:
    """Return the jobs without results, in their order.

    Raises:
        InputError: results there are of other settings than the job's would be now, or cannot be read.
    """
    done = dict.fromkeys(job for job in jobs if (results / job.file).exists())
    for job in done:
        refuse_other_results(job, results / job.file)
    return [job for job in jobs if job not in done]


def refuse_other_results(job: Job, path: Path) -> None:
    """Refuse results that this job would not give: a setting of the job, an experiment or a default has changed.

    A setting that only one of the two has is taken for one that came or went with its default; the trainer's may differ
    between machines.
    """
    cure = "to have it run again, move it away, and the job's folder below --work too"
    try:
        content = json.loads(path.read_text())
        schema, kept = content["schema"], content["campaign"]["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds no results of a campaign ({error!r}): {cure}") from error
    if schema != RESULTS_SCHEMA:
        cure = f"python -m lt_calib.convert {path.parent} writes it anew" if schema == 1 else cure
        raise InputError(f"{path} has schema {schema}, and this version writes {RESULTS_SCHEMA}: {cure}")
    now = settings_of(job.overrides, SAME_JOB)
    other = [key for key in sorted(kept.keys() & now.keys()) if kept[key] != now[key]]
    if other:
        said = "; ".join(f"{key} was {kept[key]} and is {now[key]}" for key in other)
        raise InputError(f"{path} was run with other settings ({said}): {cure}")


@cache
def settings_of(overrides: tuple[str, ...], words: tuple[str, ...]) -> dict[str, Any]:
    """Compose a job's settings, flat: those that matter for one of ``words``."""
    seeds = [int(word.removeprefix("seed=")) for word in overrides if word.startswith("seed=")]
    config = _composed(tuple(word for word in overrides if not word.startswith("seed=")))
    return settings_for(config | {"seed": seeds[-1]} if seeds else config, words)


@cache
def _composed(overrides: tuple[str, ...]) -> dict[str, Any]:  # takes a third of a second: once for all seeds
    return plain(composed(*overrides))


def stage1_of(job: Job) -> str:
    """Name what decides a job's stage 1."""
    return hash_of(settings_of(job.overrides, ("stage1",)))
