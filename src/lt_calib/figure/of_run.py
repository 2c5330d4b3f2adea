"""All figures of one run."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from lt_calib.figure.by_frequency import accuracy_by_frequency
from lt_calib.figure.class_counts import class_count_bars
from lt_calib.figure.confusion import MOST_CLASSES, class_confusion, group_confusion
from lt_calib.figure.groups import SHOWN, group_bars
from lt_calib.figure.pictures import picture_sheet
from lt_calib.figure.reliability import group_reliability, reliability
from lt_calib.figure.risk_coverage import risk_coverage_curves
from lt_calib.figure.smoothing import smoothing_curves
from lt_calib.figure.style import save
from lt_calib.figure.training import training_curves
from lt_calib.figure.true_class import true_class_histograms
from lt_calib.job.record import factor_of
from lt_calib.measure.binning import N_BINS

log = logging.getLogger(__name__)

Splits = Mapping[str, tuple[Tensor, Tensor]]  # split -> logits (N, K) float32, targets (N,) int64
Figures = dict[str, Callable[[], Figure]]  # name -> what makes it
Sheet = tuple[Tensor, Tensor, Sequence[str]]  # images (B, H, W, 3) in [0, 1], targets (B, K), class names


def draw_figures(
    folder: Path,
    results: Mapping[str, Any],
    predictions: Mapping[str, Splits],
    history: Sequence[Mapping[str, Any]] = (),
    loss: Mapping[str, Any] | None = None,
    sheet: Sheet | None = None,
) -> list[Path]:
    """Draw :func:`figures_of` a run into a folder, as PNG and SVG, and return the paths of the PNGs."""
    return saved(figures_of(results, predictions, history, loss, sheet), folder)


def saved(figures: Figures, folder: Path) -> list[Path]:
    """Make figures, write them under their names into a folder, as PNG and SVG, and return the paths of the PNGs.

    One that fails costs itself alone: a run's results do not depend on it.
    """
    paths = []
    for name, make in figures.items():
        try:
            paths.append(save(make(), folder / name)[0])
        except OSError:  # of the disk, which the results need too
            raise
        except Exception as error:
            log.warning("The figure %s is not drawn: %s: %s", name, type(error).__name__, error)
            log.debug("", exc_info=True)
    return paths


def figures_of(
    results: Mapping[str, Any],
    predictions: Mapping[str, Splits],
    history: Sequence[Mapping[str, Any]] = (),
    loss: Mapping[str, Any] | None = None,
    sheet: Sheet | None = None,
) -> Figures:
    """Make the figures of what a run shows, on its test set: name -> figure.

    Args:
        results: Content of results.json.
        predictions: Stage -> split -> (logits, targets).
        history: Rows of history.csv; none, no training curves.
        loss: Settings of the last stage's loss; its smoothing factor is drawn where it has one, over its
            ``"class_counts"`` where they are not the first stage's.
        sheet: Augmented training images, drawn where given.
    """
    data = results["dataset"]
    title = f"{results['name']}, {data['name']}, IF {factor_of(data)}"
    groups, counts, resampled = data["groups"], data["class_counts"], data.get("resampled_counts")
    n_bins = results.get("n_bins", N_BINS)
    tests = {stage: (torch.softmax(z.float(), dim=1), t) for stage, (z, t) in test_sets(predictions).items()}
    figures: Figures = {}
    for stage, (probs, targets) in tests.items():
        figures[f"{stage}_reliability"] = partial(reliability, probs, targets, f"{title}\n{stage}", n_bins)
        for by, predicted in (("group", False), ("predicted_group", True)):
            figures[f"{stage}_{by}_reliability"] = partial(
                group_reliability, probs, targets, groups, f"{title}, {stage}", n_bins, predicted
            )
    measured = {stage: results[stage]["test"] for stage in tests}
    if any(metric in values for metric in SHOWN for values in measured.values()):
        figures["groups"] = partial(group_bars, measured, title)
    figures["true_class"] = partial(true_class_histograms, tests, groups, title)
    by_class = {stage: results[stage]["test_per_class"] for stage in tests}
    figures["by_frequency"] = partial(accuracy_by_frequency, by_class, counts, title, data.get("class_names"))
    about = f"{data['name']}, IF {factor_of(data)}"
    figures["class_counts"] = partial(class_count_bars, counts, groups, about, resampled, data.get("class_names"))
    figures["risk_coverage"] = partial(risk_coverage_curves, tests, title)
    figures["confusion"] = partial(group_confusion, tests, groups, title)
    names = data.get("class_names") or [str(c) for c in range(len(counts))]
    if len(names) <= MOST_CLASSES:
        figures["class_confusion"] = partial(class_confusion, tests, names, title)
    if history:
        figures["training"] = partial(training_curves, history, title)
    if loss is not None and {"eps_head", "eps_tail", "form"} <= loss.keys():
        of_loss = loss.get("class_counts") or resampled or counts
        figures["smoothing"] = partial(smoothing_curves, of_loss, loss["eps_head"], loss["eps_tail"], loss["form"])
    if sheet is not None:
        figures["training_pictures"] = partial(picture_sheet, *sheet, f"{title}: training images of stage 1")
    return figures


def draw_calibrated(
    folder: Path, results: Mapping[str, Any], calibrated: Mapping[str, tuple[Tensor, Tensor]]
) -> list[Path]:
    """Draw :func:`calibrated_figures` into a folder and return the paths of the PNGs; what was there is removed."""
    for old in folder.glob("stage?_calibrated_*"):
        old.unlink()
    return saved(calibrated_figures(results, calibrated), folder)


def calibrated_figures(results: Mapping[str, Any], calibrated: Mapping[str, tuple[Tensor, Tensor]]) -> Figures:
    """Make the reliability of the calibrated stages on the test set, for it to stand beside the uncalibrated ones.

    Args:
        results: Content of results.json.
        calibrated: Stage -> probabilities (N, K), targets (N,) int64; none, no figures.
    """
    data: Any = results["dataset"]
    figures: Figures = {}
    for stage, (probs, targets) in calibrated.items():
        with_what = f"{stage} after {results['calibrated'][stage]['method'].replace('_', ' ')}"
        title = f"{results['name']}, {data['name']}, IF {factor_of(data)}"
        n_bins = results.get("n_bins", N_BINS)
        figures[f"{stage}_calibrated_reliability"] = partial(
            reliability, probs, targets, f"{title}\n{with_what}", n_bins
        )
        for by, predicted in (("group", False), ("predicted_group", True)):
            figures[f"{stage}_calibrated_{by}_reliability"] = partial(
                group_reliability, probs, targets, data["groups"], f"{title}, {with_what}", n_bins, predicted
            )
    return figures


def test_sets(predictions: Mapping[str, Splits]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return each stage's logits and targets of the test set."""
    return {stage: splits["test"] for stage, splits in predictions.items()}
