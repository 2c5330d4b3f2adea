"""Figures that compare runs."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lt_calib.figure.accuracy_ece import accuracy_against_ece
from lt_calib.figure.reliability import reliability_curves
from lt_calib.figure.risk_coverage import risk_coverage_curves
from lt_calib.figure.style import save
from lt_calib.figure.true_class import true_class_histograms
from lt_calib.job.results import read_predictions
from lt_calib.report.read import predictions_file
from lt_calib.report.rows import Row
from lt_calib.report.table import data_of

MOST = 8  # models in one figure: as many as there are colours


def draw_comparisons(rows: Sequence[Row], folder: Path, split: str = "test") -> list[Path]:
    """Draw accuracy against ECE of all runs of one data set, backbone and length, and the curves of the first of them.

    Args:
        rows: Of the table.
        folder: Where the figures go.
        split: What is drawn.

    Returns:
        The paths of the PNGs.
    """
    alike: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        g = row.group
        if row.stage in ("1", "2") and None not in row.values["acc"] + row.values["ece"]:
            alike[data_of(g), g.imbalance_factor, g.backbone, g.epochs.split(" ")[0]].append(row)
    paths = []
    for (data, factor, backbone, epochs), mine in alike.items():
        part = "" if split == "test" else ", on that part"
        title = f"{data}, IF {factor:g}{part}\n{backbone}, {epochs} epochs of stage 1"
        stem = re.sub(r"\W+", "_", f"{data}_if{factor:g}_{backbone}_{epochs}_{split}")
        points: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for row in mine:
            values: Any = zip(row.values["acc"], row.values["ece"], strict=True)
            points[f"{row.group.label}{_which(row, mine)}, stage {row.stage}"] += values
        paths.append(save(accuracy_against_ece(points, title), folder / f"{stem}_accuracy_ece")[0])
        models, left_out = {}, 0
        last = [r for r in mine if r.stage == max(o.stage for o in mine if o.group == r.group)]
        for one, run in [(row, run) for row in last for run in row.runs]:
            path = predictions_file(run)
            kept = read_predictions(path)[f"stage{one.stage}"] if path is not None else {}
            if split not in kept:
                continue
            if len(models) == MOST:
                left_out += 1
                continue
            logits, targets = kept[split]
            label = f"{one.group.label}{_which(one, mine)}, stage {one.stage}, seed {run['seed']}"
            models[label] = (torch.softmax(logits, dim=1), targets)
        if len(models) > 1:
            shown = f"{title} (the first {len(models)}; {left_out} more)" if left_out else title
            for kind, figure in (
                ("reliability", reliability_curves(models, shown)),
                ("risk_coverage", risk_coverage_curves(models, shown)),
                ("true_class", true_class_histograms(models, mine[0].runs[0]["dataset"]["groups"], shown)),
            ):
                paths.append(save(figure, folder / f"{stem}_{kind}")[0])
    return paths


def _which(row: Row, others: Sequence[Row]) -> str:
    alike = {other.group.settings for other in others if other.group.label == row.group.label}
    return f" (settings {row.group.settings})" if len(alike) > 1 else ""
