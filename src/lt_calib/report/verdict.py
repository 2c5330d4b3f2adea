"""Which published results our runs reproduce, and whether ``best`` is above all of them."""

import math
import statistics
from collections.abc import Sequence

from scipy.stats import t

from lt_calib.report.by_factor import Table
from lt_calib.report.paired import noise_key, pooled
from lt_calib.report.published import PUBLISHED_AS, published_rows
from lt_calib.report.rows import Row, mean
from lt_calib.report.table import data_of, show

COMPARED = {"acc": "accuracy", "ece": "ECE", "acc_head": "head", "acc_medium": "medium", "acc_tail": "tail"}


def reproduced(rows: Sequence[Row]) -> list[Table]:
    """Hold every published number against our runs of its network, schedule and training pictures.

    A number is within two standard deviations where |ours - published| <= 2 s, with s that of our seeds. Of three seeds
    that calls a perfect reproduction outside 22 times in 100; so beside it stands whether |ours - published| <=
    t s_p sqrt(1 + 1 / n), which is wrong 5 times: s_p is pooled over all methods of the setting with its degrees of
    freedom, t the 97.5 % quantile of Student's, and the published number of one run where ours is a mean of n. With one
    run the first is open, with no s_p the second.
    """
    noise = pooled(rows)
    lines = []
    for row in (r for r in rows if r.as_published):
        for known in row.published:
            for metric, label in COMPARED.items():
                theirs, values = getattr(known, metric), row.values[metric]
                if theirs is None or None in values:
                    continue
                n, apart = len(values), mean(values) - theirs / 100
                s = statistics.stdev(v for v in values if v is not None) if n > 1 else math.nan
                bound = apart_by_chance(*noise.get(noise_key(row), {}).get(metric, (math.nan, 1)), n)
                lines.append([
                    row.group.dataset, f"{row.group.imbalance_factor:g}", row.group.method, row.recipe or "-",
                    row.stage, label,
                    f"{theirs:.2f}", known.source, f"{show(values, True)} ({n})", row.hardware, f"{100 * apart:+.2f}",
                    _within(apart, 2 * s), _within(apart, bound), _note(row, known.source, known.note),
                ])  # fmt: skip
    head = ["data", "IF", "method", "recipe", "stage", "metric", "published", "source", "ours (runs)", "hardware"]
    title = "published numbers beside ours, percent; within two standard deviations, and within what seeds explain"
    return [Table(title, [*head, "difference", "2 sd", "95 %", "note"], lines)] if lines else []


def apart_by_chance(sd: float, freedom: int, n: int) -> float:
    """Return how far one run and a mean of n lie apart by their seeds alone, 19 times in 20: t sd sqrt(1 + 1 / n)."""
    return float(t.ppf(0.975, freedom)) * sd * math.sqrt(1 + 1 / n)


def _note(row: Row, source: str, note: str) -> str:
    by_las = row.stage == "2" and row.group.method in PUBLISHED_AS.values()
    said = [note] if note else []
    if "mean of seeds" in source:
        said.append("95 % is as for one run, and theirs is a mean: it is too wide")
    return "; ".join([*said, "published from LAS on class-balanced batches"] if by_las else said) or "-"


def _within(apart: float, bound: float) -> str:
    return "open" if math.isnan(bound) else "within" if abs(apart) <= bound else "outside"


def best_against_all(rows: Sequence[Row], method: str = "best") -> list[Table]:
    """Hold ``best`` against every published result of its data and factor.

    It is above one where its mean accuracy is higher and its mean ECE not above the larger of the published ECE and the
    95 % quantile of its own noise floor; where no ECE was published only the accuracy decides. Whether the accuracy is
    higher by more than seeds explain (:func:`apart_by_chance`) is said beside it.
    """
    lines, noise = [], pooled(rows)
    mine = [r for r in rows if r.group.method == method and r.full and not r.group.variant]
    for row in (r for r in mine if r.stage[0] == max(o.stage[0] for o in mine if o.group == r.group)):
        acc, ece, quantile = (row.values[m] for m in ("acc", "ece", "ece_floor_q95"))
        if None in acc + ece:
            continue
        floor = 0.0 if None in quantile else mean(quantile)
        chance = apart_by_chance(*noise.get(noise_key(row), {}).get("acc", (math.nan, 1)), len(acc))
        for (name, dataset, factor, stage), known in published_rows().items():
            if (dataset, factor) != (row.group.dataset, row.group.imbalance_factor):
                continue
            for one in (k for k in known if k.acc is not None):
                assert one.acc is not None
                limit = max(one.ece or 0.0, 100 * floor)
                calibrated = one.ece is None or 100 * mean(ece) <= limit
                lines.append([
                    data_of(row.group), f"{factor:g}", row.stage, f"{name}, stage {stage[-1]}", one.source,
                    f"{one.acc:.2f}", f"{show(acc, True)} ({len(acc)})",
                    "-" if one.ece is None else f"{limit:.2f}", show(ece, True),
                    "above" if 100 * mean(acc) > one.acc and calibrated else "not above",
                    {"within": "no", "outside": "yes"}.get(_within(mean(acc) - one.acc / 100, chance), "open"),
                ])  # fmt: skip
    head = ["data", "IF", "best's stage", "published", "source", "accuracy", "ours (runs)", "ECE allowed", "ours"]
    return (
        [Table(f"{method} against every published result, percent", [*head, "verdict", "apart beyond seeds"], lines)]
        if lines
        else []
    )
