"""All figures of one run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from lt_calib.figure.by_frequency import accuracy_by_frequency
from lt_calib.figure.class_counts import class_count_bars
from lt_calib.figure.confusion import group_confusion
from lt_calib.figure.groups import group_bars
from lt_calib.figure.pictures import picture_sheet
from lt_calib.figure.reliability import group_reliability, reliability
from lt_calib.figure.risk_coverage import risk_coverage_curves
from lt_calib.figure.smoothing import smoothing_curves
from lt_calib.figure.style import save
from lt_calib.figure.training import training_curves
from lt_calib.figure.true_class import true_class_histograms
from lt_calib.job.record import factor_of

Splits = Mapping[str, tuple[Tensor, Tensor]]  # split -> logits (N, K) float32, targets (N,) int64
Sheet = tuple[Tensor, Tensor, Sequence[str]]  # images (B, H, W, 3) in [0, 1], targets (B, K), class names


def draw_figures(
    folder: Path,
    results: Mapping[str, Any],
    predictions: Mapping[str, Splits],
    history: Sequence[Mapping[str, Any]] = (),
    loss: Mapping[str, Any] | None = None,
    sheet: Sheet | None = None,
) -> list[Path]:
    """Draw what a run shows, on its test set, as PNG and SVG.

    Args:
        folder: Where the figures go.
        results: Content of results.json.
        predictions: Stage -> split -> (logits, targets).
        history: Rows of history.csv; none, no training curves.
        loss: Settings of the last stage's loss; its smoothing factor is drawn where it has one.
        sheet: Augmented training pictures, drawn where given.

    Returns:
        The paths of the PNGs.
    """
    data = results["dataset"]
    title = f"{results['name']}, {data['name']}, IF {factor_of(data)}"
    groups, counts = data["groups"], data["class_counts"]
    tests = {stage: (torch.softmax(z.float(), dim=1), t) for stage, (z, t) in test_sets(predictions).items()}
    figures: dict[str, Figure] = {}
    for stage, (probs, targets) in tests.items():
        figures[f"{stage}_reliability"] = reliability(probs, targets, f"{title}\n{stage}")
        figures[f"{stage}_group_reliability"] = group_reliability(probs, targets, groups, f"{title}, {stage}")
    figures["groups"] = group_bars({stage: results[stage]["test"] for stage in tests}, title)
    figures["true_class"] = true_class_histograms(tests, groups, title)
    by_class = {stage: results[stage]["test_per_class"] for stage in tests}
    figures["by_frequency"] = accuracy_by_frequency(by_class, counts, title)
    figures["class_counts"] = class_count_bars(counts, groups, f"{data['name']}, IF {factor_of(data)}")
    figures["risk_coverage"] = risk_coverage_curves(tests, title)
    figures["confusion"] = group_confusion(tests, groups, title)
    if history:
        figures["training"] = training_curves(history, title)
    if loss is not None and "eps_head" in loss:
        figures["smoothing"] = smoothing_curves(counts, loss["eps_head"], loss["eps_tail"], loss["form"])
    if sheet is not None:
        figures["training_pictures"] = picture_sheet(*sheet, f"{title}: training pictures of stage 1")
    return [save(figure, folder / name)[0] for name, figure in figures.items()]


def draw_calibrated(
    folder: Path, results: Mapping[str, Any], calibrated: Mapping[str, tuple[Tensor, Tensor]]
) -> list[Path]:
    """Draw the reliability of the calibrated stages on the test set, for it to stand beside the uncalibrated ones.

    What an earlier calibration had drawn is removed.

    Args:
        folder: Where the figures go.
        results: Content of results.json.
        calibrated: Stage -> probabilities (N, K), targets (N,) int64; none, nothing is drawn.

    Returns:
        The paths of the PNGs.
    """
    for old in folder.glob("stage?_calibrated_*"):
        old.unlink()
    data, figures = results["dataset"], {}
    for stage, (probs, targets) in calibrated.items():
        with_what = f"{stage} after {results['calibrated'][stage]['method'].replace('_', ' ')}"
        title = f"{results['name']}, {data['name']}, IF {factor_of(data)}"
        figures[f"{stage}_calibrated_reliability"] = reliability(probs, targets, f"{title}\n{with_what}")
        groups = group_reliability(probs, targets, data["groups"], f"{title}, {with_what}")
        figures[f"{stage}_calibrated_group_reliability"] = groups
    return [save(figure, folder / name)[0] for name, figure in figures.items()]


def test_sets(predictions: Mapping[str, Splits]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return each stage's logits and targets of the test set."""
    return {stage: splits["test"] for stage, splits in predictions.items()}
