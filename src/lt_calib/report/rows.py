"""Rows of a table: a method's stage, its values over the seeds, and what stands out beyond noise."""

import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lt_calib.report.noise import TESTED, beyond_noise
from lt_calib.report.published import Published, published, recipe_name
from lt_calib.report.read import Run
from lt_calib.settings.table import matters_for

METRICS = {
    "acc": "accuracy",
    "ece": "ECE",
    "overconf": "over-confidence",
    "nll": "NLL",
    "acc_head": "head",
    "acc_medium": "medium",
    "acc_tail": "tail",
}
PUBLISHED_EPOCHS = ("200", "200 + 0", "200 + 5", "200 + 10")  # 5: of learnable weight scaling
PUBLISHED_NETWORKS = ("ResNet32", "BBN")  # BBN's is ResNet-32 with its last block twice


class Group(NamedTuple):
    """What runs share that differ in the seed alone."""

    dataset: str
    imbalance_factor: float
    val_per_class: int
    method: str
    epochs: str
    backbone: str  # which compared methods must share; a classifier may be what a method is
    classifier: str
    precision: str
    settings: str
    variant: str = ""  # what of it is not its experiment's own

    @property
    def network(self) -> str:
        """Backbone and classifier."""
        return f"{self.backbone} + {self.classifier}" if self.classifier else self.backbone

    @property
    def label(self) -> str:
        """The method, with its classifier where that is not the linear one, and what was changed of it."""
        more = [self.classifier] if self.classifier not in ("", "Linear") else []
        return ", ".join([self.method, *more, *([self.variant] if self.variant else [])])


@dataclass
class Row:
    """One method's stage: its values over the seeds, fractions."""

    group: Group
    stage: str  # "1", "2", "2 + temperature", ...
    runs: list[Run]
    values: dict[str, list[float | None]]
    published: tuple[Published, ...] = ()
    bold: set[str] = field(default_factory=set)

    @property
    def recipe(self) -> str | None:
        """Which of conf/stage1 stage 1 was optimized by; None: by none of them, or it was not kept."""
        return recipe_name(self.runs[0].get("recipe"))

    @property
    def full(self) -> bool:
        """Whether network and schedule are the published ones."""
        backbone = self.runs[0].get("network", {}).get("backbone", {})
        plain = backbone.get("name") in PUBLISHED_NETWORKS and backbone.keys() <= {"name", "max_epochs"}
        return self.group.epochs in PUBLISHED_EPOCHS and plain

    @property
    def as_published(self) -> bool:
        """Whether method, network, schedule and training pictures are, under a recipe of the field.

        Then a published number may be held against it; whether that was made by the same recipe is seldom known.
        """
        others = [key for key in changed_of(self.runs[0]) if "recipe" not in matters_for(key)]
        return self.full and not self.group.val_per_class and self.recipe is not None and not others

    @property
    def hardware(self) -> str:
        """What the runs were trained on; of several devices, how many on each."""
        on = Counter(run["environment"]["device"] for run in self.runs)
        return " + ".join(f"{device} ({n})" if len(on) > 1 else device for device, n in on.items())

    @property
    def seeds(self) -> str:
        """Seeds, comma-separated."""
        return ", ".join(str(run["seed"]) for run in self.runs)

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
        data, two, where = run["dataset"], run["stage2"], run["environment"]
        epochs = f"{run['stage1']['epochs']}" + (f" + {two['epochs']}" if two else "")
        backbone, classifier = (_shown(run.get("network", {}).get(part)) for part in ("backbone", "classifier"))
        group = Group(
            data["name"], data["imbalance_factor"], data.get("val_per_class", 0), run["name"], epochs, backbone or "-",
            classifier, where["precision"], run.get("settings", ""), variant_of(run),
        )  # fmt: skip
        kept = groups[group].setdefault(run["seed"], run | {"calibrations": {}})
        if _numbers(kept) != _numbers(run):
            one, other = (r["folder"] / r["file"] for r in (kept, run))
            print(
                f"not counted: {other} has the settings and seed of {one}, which is, and other numbers (other sources "
                "or another machine?); move one of them away",
                file=sys.stderr,
            )
        elif run.get("calibrated"):
            kept["calibrations"].setdefault(run["calibrated"]["stage1"]["method"], run["calibrated"])
    return {group: [by_seed[seed] for seed in sorted(by_seed)] for group, by_seed in sorted(groups.items())}


def _shown(part: Mapping[str, Any] | None) -> str:
    if not part:
        return ""
    settings = ", ".join(f"{k}={v}" for k, v in part.items() if k != "name")
    return part["name"] + (f"({settings})" if settings else "")


def changed_of(run: Run) -> dict[str, Any]:
    """Return what of a run is not its experiment's own; nothing where it has a name of its own."""
    return run.get("changed", {}) if run["name"] == run.get("experiment", run["name"]) else {}


def variant_of(run: Run) -> str:
    """Say what of a run is not its experiment's own, in one line.

    A part of another kind is named by its class, ``stage2.loss=Poly1``, without its settings.
    """
    changed = changed_of(run)
    parts = {k.removesuffix("._target_"): str(v).rsplit(".", 1)[-1] for k, v in changed.items() if "_target_" in k}
    rest = {k: v for k, v in changed.items() if not k.startswith(tuple(f"{part}." for part in parts))}
    return ", ".join("grid" if k == "grid" else f"{k}={v}" for k, v in sorted({**parts, **rest}.items()))


def _numbers(run: Run) -> list[Any]:
    return [run[stage].get(split) for stage in ("stage1", "stage2") if run[stage] for split in ("val", "test")]


def summarise(runs: Sequence[Run], split: str = "test") -> list[Row]:
    """Make a row of each stage of each group of runs, and of each calibrated one.

    Args:
        runs: Contents of results.json.
        split: ``"test"`` or ``"val"``; a run without that split has no row.
    """
    rows = []
    groups = gather(runs, split)
    alike = Counter(group._replace(settings="") for group in groups)
    for group in (g for g, times in alike.items() if times > 1):
        said = f"{group.method}, {group.dataset}, IF {group.imbalance_factor:g}, {group.epochs} epochs"
        print(f"rows of their own: {alike[group]} settings of {said}; their config.yaml differ", file=sys.stderr)
    for group, mine in groups.items():
        for stage in (s for s in ("stage1", "stage2") if mine[0][s] is not None):
            known = published(group.method, group.dataset, group.imbalance_factor, stage) if split == "test" else ()
            found = [(stage[-1], [run[stage][split] for run in mine], known)]
            for kind in sorted({kind for run in mine for kind in run["calibrations"]}):
                scaled = [run["calibrations"].get(kind, {}).get(stage, {}).get(split) for run in mine]
                if all(scaled):
                    found.append((f"{stage[-1]} + {kind}", scaled, ()))
                else:
                    seeds = ", ".join(str(run["seed"]) for run, one in zip(mine, scaled, strict=True) if not one)
                    about = f"{group.method}, {group.dataset}, IF {group.imbalance_factor:g}, {stage} + {kind}"
                    print(f"no row: {about}: not measured on the {split} part for seed {seeds}", file=sys.stderr)
            for label, measured, theirs in found:
                values = {m: [one.get(m) for one in measured] for m in (*METRICS, "ece_floor_mean", "ece_floor_q95")}
                rows.append(Row(group, label, mine, values, theirs))
    mark_bold(rows, split)
    return rows


def mark_bold(rows: Sequence[Row], split: str) -> None:
    """Mark the best accuracy and NLL of rows of one setting, where the next best differs beyond noise.

    A stage 1 that several methods share is one: all of its rows are marked, or none.
    """
    settings: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        settings[row.setting].append(row)
    for same in settings.values():
        for metric in TESTED:
            ranked = [row for row in same if all(v is not None for v in row.values[metric])]
            ranked.sort(key=lambda row: mean(row.values[metric]), reverse=TESTED[metric])
            plain = ranked and ranked[0].stage in ("1", "2")
            if plain:
                stage = f"stage{ranked[0].stage}"
                best = [row for row in ranked if (row.stage, row.values) == (ranked[0].stage, ranked[0].values)]
                others = [row for row in ranked if row not in best]
                if others and all(beyond_noise(best[0].runs, row.runs, stage, metric, split) for row in others):
                    for row in best:
                        row.bold.add(metric)


def mean(values: Sequence[float | None]) -> float:
    """Average values of which none is missing."""
    return statistics.mean(v for v in values if v is not None)
