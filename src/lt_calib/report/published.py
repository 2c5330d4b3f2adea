"""The published numbers to stand beside."""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from lt_calib.settings.check import make
from lt_calib.settings.schema import composed, conf_dir, plain

# Experiments that carry what made a published row of another name: its stage 2 was LAS on class-balanced batches.
PUBLISHED_AS = {
    f"{augment}_las_class_balanced": f"{augment}_awabs" for augment in ("cutout", "cutmix", "cut_thumbnail")
}


class Published(NamedTuple):
    """One published result; percent, None where it was not given."""

    source: str
    acc: float | None
    ece: float | None
    acc_head: float | None
    acc_medium: float | None
    acc_tail: float | None
    note: str


@cache
def published_rows() -> dict[tuple[str, str, float, str], tuple[Published, ...]]:
    """Read published.csv: (method, data set, imbalance factor, stage) -> results, in the file's order."""
    found: dict[tuple[str, str, float, str], tuple[Published, ...]] = {}
    with (Path(__file__).parent / "published.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            key = (row["method"], row["dataset"], float(row["imbalance_factor"]), row["stage"])
            numbers = (float(row[name]) if row[name] else None for name in Published._fields[1:-1])
            found[key] = (*found.get(key, ()), Published(row["source"], *numbers, note=row["note"]))
    return found


def published(method: str, dataset: str, imbalance_factor: float, stage: str) -> tuple[Published, ...]:
    """Look up all published results of a method's stage, equal numbers of several sources once.

    Args:
        method: An experiment's name.
        dataset: ``"cifar10_lt"`` or ``"cifar100_lt"``.
        imbalance_factor: IF.
        stage: ``"stage1"`` or ``"stage2"``.
    """
    name = PUBLISHED_AS.get(method, method)
    return once(published_rows().get((name, dataset, float(imbalance_factor), stage), ()))


def once(known: Sequence[Published]) -> tuple[Published, ...]:
    """Join the results whose numbers are equal, as far as both sources give them, under the names of their sources."""
    found: list[Published] = []
    for one in known:
        alike = [other for other in found if all(a == b or None in (a, b) for a, b in _pairs(one, other))]
        if not alike:
            found.append(one)
            continue
        numbers = [b if a is None else a for a, b in _pairs(alike[0], one)]
        note = "; ".join(dict.fromkeys(filter(None, [alike[0].note, one.note])))
        found[found.index(alike[0])] = Published(f"{alike[0].source}, {one.source}", *numbers, note=note)
    return tuple(found)


def _pairs(one: Published, other: Published) -> Iterator[tuple[float | None, float | None]]:
    return zip(one[1:-1], other[1:-1], strict=True)


@cache
def recipes() -> dict[str, str]:
    """Name the recipes of conf/stage1: what results.json calls ``"recipe"``, as JSON -> the file's name.

    The size of the batch is 128, or what the head of the file says.
    """
    from lt_calib.job.record import recipe_of

    found = {}
    for path in sorted((conf_dir() / "stage1").glob("*.yaml")):
        cfg = composed(f"stage1={path.stem}", "dataset=cifar10_lt")
        parts = {part: make(cfg, f"stage1.{part}") for part in ("optimizer", "schedule")}
        said = re.search(r"dataset\.batch_size=(\d+)", path.read_text())
        recipe = recipe_of(SimpleNamespace(**{**plain(cfg.stage1), **parts}), int(said[1]) if said else 128)
        found[json.dumps(recipe, sort_keys=True)] = path.stem
    return found


def recipe_name(recipe: Mapping[str, Any] | None) -> str | None:
    """Say which of conf/stage1 a stage 1 was optimized by; None: by none of them, or it was not kept."""
    return recipes().get(json.dumps(recipe, sort_keys=True)) if recipe else None
