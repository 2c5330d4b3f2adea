"""Which of the rows of one table are the best of it, and which do not lie beyond noise of the best."""

import math
from collections.abc import Sequence

from lt_calib.dataset.long_tail import GROUP_NAMES
from lt_calib.report.noise import TESTED, apart, beyond_noise
from lt_calib.report.read import logits_of
from lt_calib.report.rows import Row

HIGHER = {"acc": True, "ece": False, "nll": False, "brier": False, "aurc": False, "ace": False, "cece": False}


def best_of(rows: Sequence[Row], metric: str, split: str = "test") -> list[Row]:
    """Return the row of the best mean and those that are not worse than it beyond noise, p < 0.05.

    Noise is that of the seeds, by the t test of the differences of the common ones. For the accuracy and the NLL it is
    that of the images, too, where predictions are kept (:func:`lt_calib.report.noise.beyond_noise`). An ECE at its own
    floor is not worse than any.

    Nothing is returned where a row has not two seeds in common with the best, since nothing is known of it then, where
    all rows are alike, and for a metric of which neither way is better.

    Args:
        rows: Of one table.
        metric: Its key.
        split: ``"test"`` or ``"val"``.
    """
    name, _, part = metric.partition("_")
    found = [row for row in rows if not math.isnan(row.mean(metric))]
    if name not in HIGHER or part not in ("", "balanced", *GROUP_NAMES) or len(found) < 2:
        return []
    first = (max if HIGHER[name] else min)(found, key=lambda row: row.mean(metric))
    worse = [_worse(row, first, metric, split) for row in found]
    if None in worse or not any(worse):
        return []
    return [row for row, is_worse in zip(found, worse, strict=True) if not is_worse]


def _worse(row: Row, first: Row, metric: str, split: str) -> bool | None:
    ours, theirs = (dict(zip(one.values.index, one.over_seeds(metric), strict=True)) for one in (row, first))
    common = [seed for seed in theirs if seed in ours]
    if ours == theirs:
        return False
    if metric == "ece" and row.mean(metric) <= row.mean("ece_floor_q95"):
        return False
    if len(common) < 2:
        return None
    if not apart([ours[seed] - theirs[seed] for seed in common]):
        return False
    stages = [f"stage{one.stage}" for one in (first, row)]
    by_images = metric.partition("_")[0] in TESTED and not metric.endswith("_balanced")
    if by_images and all(_kept(one, stage, split) for one, stage in zip((first, row), stages, strict=True)):
        return beyond_noise(first.runs, row.runs, stages[0], metric, split, against=stages[1])
    return True


def _kept(row: Row, stage: str, split: str) -> bool:
    return all(logits_of(run, stage, split) is not None for run in row.runs)
