"""Differences seed by seed: stage 2 minus stage 1, a method minus another, and how far seeds lie apart."""

import logging
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from lt_calib.report.group import grouped
from lt_calib.report.rows import Row, deviation, mean
from lt_calib.report.table import Table

log = logging.getLogger("lt_calib.report")

SHOWN = {"acc": "accuracy", "ece": "ECE", "nll": "NLL", "acc_tail": "tail"}
ABOUT = ("data", "IF", "backbone", "epochs")


def stage_effects(rows: Sequence[Row]) -> list[Table]:
    """Subtract stage 1 from stage 2 of the same run, and calibrated from calibrated: mean ± sd (runs)."""
    by = {(row.group, row.stage): row for row in rows}
    lines = []
    for (group, stage), row in by.items():
        before = by.get((group, f"1{stage[1:]}"))
        if stage.startswith("2") and before is not None:
            lines.append([*_about(row), group.label, f"{stage} - {before.stage}", *changes(before, row)])
    title = "stage 2 minus stage 1, by run: points (NLL: nats), mean ± sd (runs)"
    return [Table(title, [*ABOUT, "method", "stages", *SHOWN.values()], lines)] if lines else []


def method_effects(rows: Sequence[Row], reference: str) -> list[Table]:
    """Subtract a method from every other, last stage from last stage, seed by seed: mean ± sd (common seeds).

    Both are of the same data and split, backbone, length of stage 1 and precision; what has no partner is said.

    Args:
        rows: Of the table.
        reference: A method's name.
    """
    lines = []
    for key, mine in grouped(last_stages(rows), _comparable).items():
        bases = [r for r in mine if r.group.method == reference]
        others = [r for r in mine if r.group.method != reference]
        if others and not bases:
            names = ", ".join(sorted({r.group.method for r in others}))
            log.warning("nothing of %s beside %s (%s)", reference, names, ", ".join(map(str, key[:5])))
        for base in bases:
            of = f" (minus settings {base.group.settings})" if len(bases) > 1 else ""
            for row in others:
                where = " / ".join(dict.fromkeys([base.hardware, row.hardware]))
                lines.append([*_about(row), row.group.label + of, row.stage, where, *changes(base, row)])
    title = f"last stage minus the last of {reference}, by seed: points (NLL: nats), mean ± sd (common seeds)"
    return [Table(title, [*ABOUT, "method", "stage", "hardware", *SHOWN.values()], lines)] if lines else []


def last_stages(rows: Sequence[Row]) -> list[Row]:
    """Take of each group the rows of its last stage, calibrated ones too."""
    last = {group: max(row.stage[0] for row in mine) for group, mine in grouped(rows, lambda row: row.group).items()}
    return [row for row in rows if row.stage[0] == last[row.group]]


def _comparable(row: Row) -> tuple[Any, ...]:
    g = row.group
    calibrated = len(row.stage) > 1  # by whatever, beside one that is calibrated by whatever
    return g.data, g.imbalance_factor, g.backbone, g.length, g.precision, row.split_seed, calibrated


def changes(before: Row, after: Row) -> list[str]:
    """Format the mean of after minus before over their common seeds, its standard deviation (n - 1), the number."""
    common = [seed for seed in before.values.index if seed in after.values.index]
    apart = (after.values - before.values).loc[common].to_dict("list")
    return [_change(apart[metric], metric) for metric in SHOWN]


def _change(values: Sequence[float], metric: str) -> str:
    scale, digits = (1, 3) if metric == "nll" else (100, 2)
    center, spread = mean(scale * v for v in values), deviation(scale * v for v in values)
    if math.isnan(center):
        return "-"
    return f"{center:+.{digits}f}" + ("" if math.isnan(spread) else f" ± {spread:.{digits}f}") + f" ({len(values)})"


def pooled(rows: Sequence[Row]) -> dict[tuple[str, ...], dict[str, tuple[float, int]]]:
    """Pool the variance over seeds of all methods of one setting: metric -> standard deviation, degrees of freedom.

    Methods that share their stages 1 count as one, with the mean of their variances.
    """
    found = {}
    for key, mine in grouped(rows, noise_key).items():
        families = [[row.values for row in family] for family in _families(mine)]
        freedom = pd.DataFrame([pd.DataFrame([v.count() for v in some]).max() - 1 for some in families]).clip(lower=0)
        variance = pd.DataFrame([pd.DataFrame([v.var() for v in some]).mean() for some in families])
        total, n = (freedom * variance).sum().to_dict(), freedom.sum().to_dict()
        found[key] = {metric: (math.sqrt(total[metric] / n[metric]), int(n[metric])) for metric in n if n[metric]}
    return {key: by_metric for key, by_metric in found.items() if by_metric}


def _families(rows: Sequence[Row]) -> list[list[Row]]:
    # Methods that share a stage 1 rise and fall with it. One of them may have seeds that another has not yet.
    families: list[tuple[set[Any], list[Row]]] = []
    for row in rows:
        mine = {(run["seed"], *(run["stage1"].get(s, {}).get("nll") for s in ("val", "test"))) for run in row.runs}
        akin = [family for family in families if family[0] & mine]
        families = [family for family in families if family not in akin]
        families.append((mine.union(*(stages for stages, _ in akin)), [*(r for _, some in akin for r in some), row]))
    return [some for _, some in families]


def noise_key(row: Row) -> tuple[str, ...]:
    """Name what rows share whose seeds scatter alike: data, backbone, length of stage 1, stage."""
    g = row.group
    return g.data, f"{g.imbalance_factor:g}", g.backbone, g.length, row.stage


def seed_noise(rows: Sequence[Row]) -> list[Table]:
    """List the standard deviation between seeds, pooled over the methods of a setting, with its degrees of freedom."""
    lines = []
    for key, found in pooled(rows).items():
        shown = {m: f"{sd:.3f}" if m == "nll" else f"{100 * sd:.2f}" for m, (sd, _) in found.items()}
        lines.append([*key, *(f"{shown[m]} ({found[m][1]})" if m in found else "-" for m in SHOWN)])
    title = "standard deviation between seeds, pooled over methods: points (NLL: nats), degrees of freedom in brackets"
    return [Table(title, [*ABOUT, "stage", *SHOWN.values()], lines)] if lines else []


def _about(row: Row) -> list[str]:
    return [row.group.data, row.factor, row.group.backbone, row.group.epochs]
