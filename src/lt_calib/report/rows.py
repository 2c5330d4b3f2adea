"""Rows of a table: a method's stage, its values over the seeds, and what stands out beyond noise."""

import logging
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from lt_calib.job.record import factor_of
from lt_calib.report.group import Group, Run, changed_of, group_of, grouped, numbers_of
from lt_calib.report.noise import TESTED, beyond_noise
from lt_calib.report.published import Published, published, recipe_name
from lt_calib.report.read import not_counted
from lt_calib.settings.table import matters_for

log = logging.getLogger("lt_calib.report")

PUBLISHED_EPOCHS = ("200", "200 + 0", "200 + 5", "200 + 10")  # 5: of learnable weight scaling
PUBLISHED_NETWORKS = ("ResNet32", "BBN")  # BBN's is ResNet-32 with its last block twice


@dataclass(eq=False)
class Row:
    """One method's stage: its values over the seeds, fractions."""

    group: Group
    stage: str  # "1", "2", "2 + temperature", ...
    runs: list[Run]
    values: pd.DataFrame  # a seed a line, a metric a column; NaN where one is missing
    published: tuple[Published, ...] = ()
    bold: set[str] = field(default_factory=set)
    others: pd.DataFrame = field(default_factory=pd.DataFrame)  # likewise, of metrics that are shown when asked for

    def mean(self, metric: str) -> float:
        """Average a metric over the seeds; NaN where one is missing."""
        return mean(self.over_seeds(metric))

    def over_seeds(self, metric: str) -> list[float]:
        """List a metric's values; NaN where it was not measured."""
        found = self.values if metric in self.values else self.others
        return found[metric].tolist() if metric in found else [math.nan] * len(self.runs)

    @property
    def recipe(self) -> str | None:
        """Which of conf/stage1 stage 1 was optimized by; None: by none of them, or it was not kept."""
        return recipe_name(self.runs[0].get("recipe"))

    @property
    def full(self) -> bool:
        """Whether network and schedule are the published ones."""
        backbone = self.runs[0].get("network", {}).get("backbone") or {}
        plain = backbone.get("name") in PUBLISHED_NETWORKS and backbone.keys() <= {"name", "max_epochs"}
        return self.group.epochs in PUBLISHED_EPOCHS and plain

    @property
    def as_published(self) -> bool:
        """Whether method, network, schedule and training pictures are, under a recipe of the field.

        Then a published number may be held against it; whether that was made by the same recipe is seldom known.
        """
        others = [key for key in changed_of(self.runs[0]) if "recipe" not in matters_for(key)]
        return self.full and self.group.whole and self.recipe is not None and not others

    @property
    def hardware(self) -> str:
        """What the runs were trained on; of several devices, how many on each."""
        on = Counter(run["environment"]["device"] for run in self.runs)
        return " + ".join(f"{device} ({n})" if len(on) > 1 else device for device, n in on.items())

    @property
    def factor(self) -> str:
        """Imbalance factor as asked for, ``10 (is 1.3)`` where the validation part leaves another."""
        told = [run["dataset"] for run in self.runs if "real_imbalance_factor" in run["dataset"]]
        return factor_of([self.runs[0]["dataset"], *told][-1])

    @property
    def split_seed(self) -> int:
        """Which of the splits it was trained on."""
        return self.runs[0]["dataset"].get("split_seed", 0)

    @property
    def setting(self) -> tuple[Any, ...]:
        """What rows must share to be compared: all but the method and its own settings."""
        group = self.group._replace(method="", settings="", variant="", classifier="")
        return *group, self.split_seed, self.stage


def gather(runs: Sequence[Run], split: str = "test") -> dict[Group, list[Run]]:
    """Gather runs that differ in the seed alone, in the order of their seeds; of several of one seed one counts.

    Each gets ``"calibrations"``, method -> ``"calibrated"``, of all runs of its seed.

    Args:
        runs: Contents of results.json.
        split: A run without it is left out.
    """
    groups: dict[Group, dict[int, Run]] = defaultdict(dict)
    for run in (r for r in runs if split in r["stage1"]):
        kept = groups[group_of(run)].setdefault(run["seed"], run | {"calibrations": {}})
        if _numbers(kept) != _numbers(run):
            one, other = (r["folder"] / r["file"] for r in (kept, run))
            not_counted(
                f"{other} has the settings and seed of {one}, which is, and other numbers (other sources or another "
                "machine?); move one of them away"
            )
        elif run.get("calibrated"):
            method = next(iter(run["calibrated"].values()))["method"]
            kept["calibrations"].setdefault(method, run["calibrated"])
    return {group: [by_seed[seed] for seed in sorted(by_seed)] for group, by_seed in sorted(groups.items())}


def _numbers(run: Run) -> list[Any]:
    return [part.get(split) for part in (run["stage1"], run.get("stage2") or {}) for split in ("val", "test")]


def summarise(runs: Sequence[Run], split: str = "test") -> list[Row]:
    """Make a row of each stage of each group of runs, and of each calibrated one.

    Args:
        runs: Contents of results.json.
        split: ``"test"`` or ``"val"``; a run without that split has no row.
    """
    rows = []
    groups = gather(runs, split)
    for group, times in Counter(group._replace(settings="") for group in groups).items():
        if times > 1:
            log.warning("rows of their own: %d settings of %s; their config.yaml differ", times, _about(group))
    for group, mine in groups.items():
        for stage in (s for s in ("stage1", "stage2") if mine[0].get(s)):
            known = published(group.method, group.dataset, group.imbalance_factor, stage) if split == "test" else ()
            measured = {stage[-1]: [run[stage].get(split) for run in mine]}
            for kind in sorted({kind for run in mine for kind in run["calibrations"]}):
                found = [run["calibrations"].get(kind, {}).get(stage, {}).get(split) for run in mine]
                measured[f"{stage[-1]} + {kind}"] = found
            seeds = [run["seed"] for run in mine]
            for label, found in measured.items():
                without = [str(seed) for seed, one in zip(seeds, found, strict=True) if not one]
                if without and label != stage[-1]:
                    log.warning(
                        "no row: %s, stage%s: not measured on the %s part for seed %s",
                        _about(group), label, split, ", ".join(without),
                    )  # fmt: skip
                    continue
                values = pd.DataFrame([numbers_of(one or {}) for one in found], seeds)
                more = [
                    {m: v for m, v in (one or {}).items() if isinstance(v, float) and m not in values} for one in found
                ]
                others = pd.DataFrame(more, seeds, dtype=float)
                rows.append(Row(group, label, mine, values, known if label == stage[-1] else (), others=others))
    mark_bold(rows, split)
    return rows


def _about(group: Group) -> str:
    return f"{group.method}, {group.dataset}, IF {group.imbalance_factor:g}, {group.epochs} epochs"


def mark_bold(rows: Sequence[Row], split: str) -> None:
    """Mark the best accuracy and NLL of rows of one setting, where the next best differs beyond noise.

    A stage 1 that several methods share is one: all of its rows are marked, or none.
    """
    for same in grouped(rows, lambda row: row.setting).values():
        for metric, higher in TESTED.items():
            measured = [row for row in same if not math.isnan(row.mean(metric))]
            first = max(measured, key=lambda row: row.mean(metric) * (1 if higher else -1), default=None)
            if first is None or first.stage not in ("1", "2"):
                continue
            best = [row for row in measured if row.stage == first.stage and row.values.equals(first.values)]
            others = [row for row in measured if row not in best]
            stage = f"stage{first.stage}"
            if others and all(beyond_noise(first.runs, row.runs, stage, metric, split) for row in others):
                for row in best:
                    row.bold.add(metric)


def mean(values: Iterable[float]) -> float:
    """Average without an error of rounding; NaN where a value is missing, or there is none."""
    values = list(values)
    return float(statistics.mean(values)) if values else math.nan


def deviation(values: Iterable[float]) -> float:
    """Return the standard deviation (n - 1); NaN where a value is missing, or there are not two."""
    values = list(values)
    return statistics.stdev(values) if len(values) > 1 and not any(map(math.isnan, values)) else math.nan
