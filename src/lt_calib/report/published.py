"""The published numbers to stand beside."""

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

from hydra import compose, initialize_config_dir

from lt_calib.config import conf_dir, register

# Experiments that carry what made a published row of another name: its stage 2 was LAS on class-balanced batches.
PUBLISHED_AS = {
    f"{augment}_las_class_balanced": f"{augment}_awabs" for augment in ("cutout", "cutmix", "cut_thumbnail")
}

BATCH_SIZES = {"lade": 256}  # of the recipes of conf/stage1 whose authors take another than 128


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
    """Look up all published results of a method's stage.

    Args:
        method: An experiment's name.
        dataset: ``"cifar10_lt"`` or ``"cifar100_lt"``.
        imbalance_factor: IF.
        stage: ``"stage1"`` or ``"stage2"``.
    """
    name = PUBLISHED_AS.get(method, method)
    return published_rows().get((name, dataset, float(imbalance_factor), stage), ())


@cache
def recipes() -> dict[str, str]:
    """Name the recipes of conf/stage1: what results.json calls ``"recipe"`` -> the file's name."""
    from lt_calib.results import recipe_of

    register()
    found = {}
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for path in sorted((conf_dir() / "stage1").glob("*.yaml")):
            batch = f"dataset.batch_size={BATCH_SIZES.get(path.stem, 128)}"
            found[recipe_of(compose("config", [f"stage1={path.stem}", batch]))] = path.stem
    return found
