"""Figures that compare runs."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch

from lt_calib.figure.accuracy_ece import accuracy_against_ece
from lt_calib.figure.reliability import reliability_curves
from lt_calib.figure.risk_coverage import risk_coverage_curves
from lt_calib.figure.style import save
from lt_calib.figure.true_class import true_class_histograms
from lt_calib.report.read import Run, predictions_file
from lt_calib.results import read_predictions

MOST = 8  # models in one figure: as many as there are colours


def draw_comparisons(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Draw accuracy against ECE of all runs of a data set, and the curves of its first runs whose logits are there.

    Args:
        runs: Contents of results.json.
        folder: Where the figures go.

    Returns:
        The paths of the PNGs.
    """
    by_data: dict[tuple[str, float, int], list[Run]] = defaultdict(list)
    for run in runs:
        data = run["dataset"]
        by_data[data["name"], data["imbalance_factor"], data.get("val_per_class", 0)].append(run)
    paths = []
    for (name, factor, val), group in sorted(by_data.items()):
        title = f"{name}, IF {factor:g}" + (f", {val} a class held out" if val else "")
        stem = f"{name}_if{factor:g}" + (f"_val{val}" if val else "")
        points: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for run in group:
            for stage in (s for s in ("stage1", "stage2") if run[s]):
                points[f"{run['name']}, stage {stage[-1]}"].append(
                    (run[stage]["test"]["acc"], run[stage]["test"]["ece"])
                )
        paths.append(save(accuracy_against_ece(points, title), folder / f"{stem}_accuracy_ece")[0])
        models = {}
        for run in group:
            path = predictions_file(run)
            if path is not None and len(models) < MOST:
                stages = read_predictions(path)
                stage = max(stages)  # the last
                logits, targets = stages[stage]["test"]
                label = f"{run['name']}, stage {stage[-1]}, seed {run['seed']}"
                models[label] = (torch.softmax(logits, dim=1), targets)
        if len(models) > 1:
            left_out = sum(predictions_file(run) is not None for run in group) - len(models)
            shown = f"{title} (the first {MOST}; {left_out} more)" if left_out else title
            for kind, figure in (
                ("reliability", reliability_curves(models, shown)),
                ("risk_coverage", risk_coverage_curves(models, shown)),
                ("true_class", true_class_histograms(models, group[0]["dataset"]["groups"], shown)),
            ):
                paths.append(save(figure, folder / f"{stem}_{kind}")[0])
    return paths
