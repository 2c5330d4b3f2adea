"""Which published results our runs reproduce, and whether ``best`` is above all of them."""

import math
from collections.abc import Sequence

from scipy.stats import t

from lt_calib.report.paired import last_stages, noise_key, pooled
from lt_calib.report.published import PUBLISHED_AS, once, published_rows
from lt_calib.report.rows import Row, deviation
from lt_calib.report.table import Table, show

COMPARED = {"acc": "accuracy", "ece": "ECE", "acc_head": "head", "acc_medium": "medium", "acc_tail": "tail"}
UNKNOWN = (math.nan, 1)  # standard deviation and degrees of freedom where no setting has two seeds


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
    for row, known in ((r, known) for r in rows if r.as_published for known in r.published):
        for metric, label in COMPARED.items():
            theirs, values = getattr(known, metric), row.over_seeds(metric)
            if theirs is None or math.isnan(row.mean(metric)):
                continue
            n, apart = len(values), row.mean(metric) - theirs / 100
            bound = apart_by_chance(*noise.get(noise_key(row), {}).get(metric, UNKNOWN), n)
            lines.append([
                row.group.dataset, f"{row.group.imbalance_factor:g}", row.group.method, row.recipe or "-",
                row.stage, label, f"{theirs:.2f}", known.source, f"{show(values, True)} ({n})", row.hardware,
                f"{100 * apart:+.2f}", _within(apart, 2 * deviation(values)), _within(apart, bound),
                _note(row, known.source, known.note),
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
    for row in last_stages([row for row in rows if row.group.method == method and row.full and not row.group.variant]):
        acc, ece, floor = (100 * row.mean(metric) for metric in ("acc", "ece", "ece_floor_q95"))
        if math.isnan(acc + ece):
            continue
        chance = apart_by_chance(*noise.get(noise_key(row), {}).get("acc", UNKNOWN), len(row.runs))
        here = {key: known for key, known in published_rows().items() if key[1:3] == row.group[:2]}
        for (name, _, factor, stage), one in ((key, one) for key, known in here.items() for one in once(known)):
            if one.acc is None:
                continue
            limit = max(one.ece or 0.0, 0.0 if math.isnan(floor) else floor)
            above = acc > one.acc and (one.ece is None or ece <= limit)
            lines.append([
                row.group.data, f"{factor:g}", row.stage, f"{name}, stage {stage[-1]}", one.source, f"{one.acc:.2f}",
                f"{show(row.over_seeds('acc'), True)} ({len(row.runs)})", "-" if one.ece is None else f"{limit:.2f}",
                show(row.over_seeds("ece"), True), "above" if above else "not above",
                {"within": "no", "outside": "yes"}.get(_within((acc - one.acc) / 100, chance), "open"),
            ])  # fmt: skip
    head = ["data", "IF", "best's stage", "published", "source", "accuracy", "ours (runs)", "ECE allowed", "ours"]
    title = f"{method} against every published result, percent"
    return [Table(title, [*head, "verdict", "apart beyond seeds"], lines)] if lines else []
