"""Rows of a table: a method's stage, its values over the seeds, and what stands out beyond noise."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lt_calib.report.noise import TESTED, beyond_noise
from lt_calib.report.published import Published, published
from lt_calib.report.read import Run

METRICS = {
    "acc": "accuracy",
    "ece": "ECE",
    "nll": "NLL",
    "acc_head": "head",
    "acc_medium": "medium",
    "acc_tail": "tail",
}
HIGHER_IS_BETTER = {"acc": True, "nll": False}


@dataclass
class Row:
    """One method's stage: its values over the seeds, fractions."""

    dataset: str
    imbalance_factor: float
    val_per_class: int
    method: str
    epochs: str
    stage: str
    device: str
    precision: str
    runs: list[Run]
    values: dict[str, list[float | None]]
    published: Published | None = None
    bold: set[str] = field(default_factory=set)

    @property
    def seeds(self) -> str:
        """Seeds, comma-separated."""
        return ", ".join(str(seed) for seed in sorted(run["seed"] for run in self.runs))

    @property
    def setting(self) -> tuple[Any, ...]:
        """What rows must share to be compared: data, schedule and stage."""
        return self.dataset, self.imbalance_factor, self.val_per_class, self.epochs, self.stage


def summarise(runs: Sequence[Run], split: str = "test", calibrated: bool = False) -> list[Row]:
    """Gather runs that differ in the seed alone; a copy of a run counts once.

    Args:
        runs: Contents of results.json.
        split: ``"test"`` or ``"val"``; a run without that split has no row.
        calibrated: Whether calibrated stages get rows of their own, on the test set.
    """
    groups: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for run in (r for r in runs if split in r["stage1"]):
        data, two, where = run["dataset"], run["stage2"], run["environment"]
        epochs = f"{run['stage1']['epochs']}" + (f" + {two['epochs']}" if two else "")
        key = (
            data["name"], data["imbalance_factor"], data.get("val_per_class", 0), run["name"], epochs, where["device"],
            where["precision"], run.get("settings", ""),
        )  # fmt: skip
        same = [other for other in groups[key] if other["seed"] == run["seed"]]
        if not any(other["stage1"] == run["stage1"] and other["stage2"] == two for other in same):
            groups[key].append(run)
    rows = []
    for (name, factor, val, method, epochs, device, precision, _), group in sorted(groups.items()):
        about = (name, factor, val, method, epochs)
        for stage in ("stage1", "stage2"):
            if group[0][stage] is None:
                continue
            found = [(stage[-1], [run[stage][split] for run in group], stage)]
            with_calibrator = [run for run in group if run.get("calibrated")]
            if calibrated and split == "test" and len(with_calibrator) == len(group):
                kinds = {run["calibrated"][stage]["method"] for run in group}
                if len(kinds) == 1:
                    tests = [run["calibrated"][stage]["test"] for run in group]
                    found.append((f"{stage[-1]} + {kinds.pop()}", tests, ""))
            for label, tests, raw in found:
                values = {m: [test.get(m) for test in tests] for m in (*METRICS, "ece_floor_mean", "ece_floor_q95")}
                known = published(method, name, factor, raw) if split == "test" else None
                rows.append(Row(*about, label, device, precision, group, values, known))
    mark_bold(rows)
    return rows


def mark_bold(rows: Sequence[Row]) -> None:
    """Mark the best accuracy and NLL of rows of one setting, where the next best differs beyond noise."""
    settings: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        settings[row.setting].append(row)
    for same in settings.values():
        for metric in TESTED:
            ranked = [row for row in same if all(v is not None for v in row.values[metric])]
            ranked.sort(key=lambda row: mean(row.values[metric]), reverse=HIGHER_IS_BETTER[metric])
            plain = ranked and ranked[0].stage in ("1", "2")
            if len(ranked) > 1 and plain:
                stage = f"stage{ranked[0].stage}"
                if all(beyond_noise(ranked[0].runs, other.runs, stage, metric) for other in ranked[1:]):
                    ranked[0].bold.add(metric)


def mean(values: Sequence[float | None]) -> float:
    """Average values of which none is missing."""
    return statistics.mean(v for v in values if v is not None)
