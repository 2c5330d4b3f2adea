"""Differences seed by seed: stage 2 minus stage 1, a method minus another, and how far seeds lie apart."""

import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from lt_calib.report.by_factor import Table
from lt_calib.report.rows import Group, Row
from lt_calib.report.table import data_of

SHOWN = {"acc": "accuracy", "ece": "ECE", "nll": "NLL", "acc_tail": "tail"}
ABOUT = ("data", "IF", "backbone", "epochs")


def stage_effects(rows: Sequence[Row]) -> list[Table]:
    """Subtract stage 1 from stage 2 of the same run, and calibrated from calibrated: mean ± sd (runs)."""
    by = {(row.group, row.stage): row for row in rows}
    lines = []
    for (group, stage), row in by.items():
        before = by.get((group, f"1{stage[1:]}"))
        if stage.startswith("2") and before is not None:
            cells = [changes(before.values[m], row.values[m], m) for m in SHOWN]
            lines.append([*_about(row), group.label, f"{stage} - {before.stage}", *cells])
    title = "stage 2 minus stage 1, by run: points (NLL: nats), mean ± sd (runs)"
    return [Table(title, [*ABOUT, "method", "stages", *SHOWN.values()], lines)] if lines else []


def method_effects(rows: Sequence[Row], reference: str) -> list[Table]:
    """Subtract a method from every other, last stage from last stage, seed by seed: mean ± sd (common seeds).

    Both are of the same data and split, backbone, length of stage 1 and precision; what has no partner is said.

    Args:
        rows: Of the table.
        reference: A method's name.
    """
    last: dict[Group, str] = {}
    for row in rows:
        last[row.group] = max(last.get(row.group, ""), row.stage[0])
    alike: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in (r for r in rows if r.stage[0] == last[r.group]):
        g = row.group
        epochs = g.epochs.split(" ")[0]
        calibrated = len(row.stage) > 1  # by whatever, beside one that is calibrated by whatever
        alike[data_of(g), g.imbalance_factor, g.backbone, epochs, g.precision, row.split_seed, calibrated].append(row)
    lines = []
    for key, mine in alike.items():
        bases = [r for r in mine if r.group.method == reference]
        others = [r for r in mine if r.group.method != reference]
        if others and not bases:
            names = ", ".join(sorted({r.group.method for r in others}))
            print(f"nothing of {reference} beside {names} ({', '.join(map(str, key[:5]))})", file=sys.stderr)
        for base in bases:
            for row in others:
                where = list(dict.fromkeys([base.hardware, row.hardware]))
                of = f" (minus settings {base.group.settings})" if len(bases) > 1 else ""
                lines.append([*_about(row), row.group.label + of, row.stage, " / ".join(where), *_by_seed(base, row)])
    title = f"last stage minus the last of {reference}, by seed: points (NLL: nats), mean ± sd (common seeds)"
    return [Table(title, [*ABOUT, "method", "stage", "hardware", *SHOWN.values()], lines)] if lines else []


def _by_seed(base: Row, row: Row) -> list[str]:
    before, after = ({run["seed"]: i for i, run in enumerate(one.runs)} for one in (base, row))
    common = [(before[seed], after[seed]) for seed in before if seed in after]
    return [changes([base.values[m][a] for a, _ in common], [row.values[m][b] for _, b in common], m) for m in SHOWN]


def changes(before: Sequence[float | None], after: Sequence[float | None], metric: str) -> str:
    """Format the mean of after minus before, with its standard deviation (n - 1) and number."""
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a is not None and b is not None]
    if not pairs or len(pairs) < len(before):
        return "-"
    scale, digits = (1, 3) if metric == "nll" else (100, 2)
    values = [scale * (b - a) for a, b in pairs]
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):+.{digits}f}{spread} ({len(values)})"


def pooled(rows: Sequence[Row]) -> dict[tuple[Any, ...], dict[str, tuple[float, int]]]:
    """Pool the variance over seeds of all methods of one setting: metric -> standard deviation, degrees of freedom.

    Methods that share their stages 1 count as one, with the mean of their variances.
    """
    settings: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        settings[noise_key(row)].append(row)
    found: dict[tuple[Any, ...], dict[str, tuple[float, int]]] = {}
    for key, mine in settings.items():
        families = _families(mine)
        for metric in ("acc", "ece", "nll", "acc_head", "acc_medium", "acc_tail"):
            several = []
            for family in families:
                values = [[value for value in row.values[metric] if value is not None] for row in family]
                enough = [v for v in values if len(v) > 1]
                if enough:
                    several.append((max(map(len, enough)) - 1, statistics.mean(map(statistics.variance, enough))))
            freedom = sum(n for n, _ in several)
            if freedom:
                total = sum(n * variance for n, variance in several)
                found.setdefault(key, {})[metric] = math.sqrt(total / freedom), freedom
    return found


def _families(rows: Sequence[Row]) -> list[list[Row]]:
    # Methods that share a stage 1 rise and fall with it. One of them may have seeds that another has not yet.
    families: list[list[Row]] = []
    for row in rows:
        akin = [any(_stages_1(row) & _stages_1(other) for other in family) for family in families]
        joined = [other for family, is_akin in zip(families, akin, strict=True) if is_akin for other in family]
        families = [family for family, is_akin in zip(families, akin, strict=True) if not is_akin] + [[*joined, row]]
    return families


def _stages_1(row: Row) -> set[tuple[Any, ...]]:
    return {(run["seed"], *(run["stage1"].get(split, {}).get("nll") for split in ("val", "test"))) for run in row.runs}


def noise_key(row: Row) -> tuple[Any, ...]:
    """Name what rows share whose seeds scatter alike: data, backbone, length of stage 1, stage."""
    g = row.group
    return data_of(g), f"{g.imbalance_factor:g}", g.backbone, g.epochs.split(" ")[0], row.stage


def seed_noise(rows: Sequence[Row]) -> list[Table]:
    """List the standard deviation between seeds, pooled over the methods of a setting, with its degrees of freedom."""
    lines = []
    for key, found in pooled(rows).items():
        cells = []
        for metric in SHOWN:
            sd, freedom = found.get(metric, (math.nan, 0))
            text = f"{sd:.3f}" if metric == "nll" else f"{100 * sd:.2f}"
            cells.append(f"{text} ({freedom})" if freedom else "-")
        lines.append([*key, *cells])
    title = "standard deviation between seeds, pooled over methods: points (NLL: nats), degrees of freedom in brackets"
    return [Table(title, [*ABOUT, "stage", *SHOWN.values()], lines)] if lines else []


def _about(row: Row) -> list[str]:
    g = row.group
    return [data_of(g), f"{g.imbalance_factor:g}", g.backbone, g.epochs]
