"""Prediction sets of a finished run: fitted on its held-out validation part, measured on its test set."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from lt_calib.conformal.base import SetRule
from lt_calib.conformal.class_wise import class_wise
from lt_calib.conformal.coverage import coverage
from lt_calib.conformal.interpolated import interpolated
from lt_calib.conformal.marginal import marginal
from lt_calib.conformal.prior_adjusted import prior_adjusted
from lt_calib.errors import InputError
from lt_calib.job.build_prior import own_prior
from lt_calib.job.parts import Splits
from lt_calib.job.results import read_predictions, read_results, write_json
from lt_calib.settings.schema import register

log = logging.getLogger(__name__)
FITS = {fit.__name__: fit for fit in (marginal, class_wise, prior_adjusted, interpolated)}
FILES = ("results.json", "predictions.npz", "config.yaml")
ALPHAS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)  # of the figure
APART = 0.05  # total variation between the held-out part's class frequencies and the test set's that is told of


def read_run(folder: Path) -> tuple[dict[str, Any], Mapping[str, Splits]]:
    """Read results.json and predictions.npz of a finished run that has a held-out part.

    Raises:
        InputError: the folder holds no finished run, or nothing was held out.
    """
    missing = [name for name in FILES if not (folder / name).exists()]
    if missing:
        raise InputError(f"{folder} holds no finished run: {', '.join(missing)} is missing")
    results, predictions = read_results(folder), read_predictions(folder / "predictions.npz")
    if any("val" not in splits for splits in predictions.values()):
        raise InputError(
            f"{folder}: sets and thresholds are fitted on held-out validation images, never on the test set, and none "
            "are held out: train with dataset.val_per_class=20, with a frozen network with cross_fit=5"
        )
    return results, predictions


def fit_sets(
    folder: Path, results: Mapping[str, Any], held_out: tuple[Tensor, Tensor], stage: str, method: str, alpha: float,
    weight: float = 0.5, trust: bool = False,
) -> SetRule:  # fmt: skip
    """Fit a stage's sets, on its softmax without a calibrator, which has seen the held-out images too.

    Args:
        folder: The run's.
        results: Of its results.json.
        held_out: Logits and targets of the validation part.
        stage: ``"stage1"`` or ``"stage2"``.
        method: A key of ``FITS``.
        alpha: Between 0 and 1.
        weight: Of ``interpolated``.
        trust: Whether parts from outside the package may be built to find a prior.
    """
    fit = partial(interpolated, weight=weight) if method == "interpolated" else FITS[method]
    if method != "prior_adjusted":
        return fit(*held_out, alpha)
    register()
    cfg: Any = OmegaConf.load(folder / "config.yaml")
    return fit(*held_out, alpha, own_prior(cfg, results["dataset"], stage, trust).prior)


def measure_run(
    folder: Path, methods: list[str], alpha: float, weight: float = 0.5, trust: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """Fit and measure sets of every stage; results.json gets ``conformal``.

    Returns:
        ``{"alpha", "weight", stage: {method: coverage | "fell_back" | "thresholds"}}``, an infinite threshold as None,
        and sentences that say what the promise does not hold for.

    Raises:
        InputError: no finished run, or nothing was held out.
    """
    results, predictions = read_run(folder)
    found = sets_of(folder, results, predictions, methods, alpha, weight, trust)
    write_json(folder / "results.json", results | {"conformal": found})
    return found, doubts(results, predictions)


def sets_of(
    folder: Path, results: Mapping[str, Any], predictions: Mapping[str, Splits], methods: list[str], alpha: float,
    weight: float = 0.5, trust: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Fit sets of every stage on its validation part and measure them on the test set, as :func:`measure_run` says."""
    found: dict[str, Any] = {"alpha": alpha, "weight": weight}
    for stage, splits in predictions.items():
        found[stage] = {}
        for method in methods:
            rule = fit_sets(folder, results, splits["val"], stage, method, alpha, weight, trust)
            logits, targets = splits["test"]
            finite = [q if abs(q) != float("inf") else None for q in rule.thresholds.tolist()]
            about = coverage(rule.sets(logits), targets, results["dataset"]["groups"], alpha)
            found[stage][method] = about | {"fell_back": rule.fell_back, "thresholds": finite}
    return found


def doubts(results: Mapping[str, Any], predictions: Mapping[str, Splits]) -> list[str]:
    """Say where held-out images are not like the test's, so that what holds for the ones need not for the others."""
    splits, k = next(iter(predictions.values())), len(results["dataset"]["class_counts"])
    val, test = (torch.bincount(splits[s][1], minlength=k).double() / len(splits[s][1]) for s in ("val", "test"))
    apart, said = float((val - test).abs().sum() / 2), []
    if apart > APART:
        said.append(
            f"the held-out images have other class frequencies than the test set ({100 * apart:.0f} % would have to "
            "change class): what is promised over all images is for frequencies like theirs; class-wise sets alone "
            "keep their promise"
        )
    if "cross_fit" in results:
        said.append(
            "the held-out rows were predicted by other fits than the run's own: the promises are near, not exact"
        )
    return said


def add_sets(
    folder: Path, results: dict[str, Any], predictions: Mapping[str, Splits], sets: Mapping[str, Any], figures: bool
) -> tuple[dict[str, Any], list[Path]]:
    """Fit and measure the sets that a run's settings ask for; return the results and the figures' paths.

    Args:
        folder: The run's, with its config.yaml.
        results: Of its results.json; they get ``conformal``.
        predictions: Stage -> split -> (logits, targets).
        sets: ``method``, ``alpha`` and perhaps ``weight``; an empty one fits none.
        figures: Whether coverage against size is drawn.
    """
    if not sets:
        return results, []
    about: dict[str, Any] = {"weight": sets.get("weight", 0.5), "trust": True}  # its parts have been built already
    methods = [sets["method"]]
    results = results | {"conformal": sets_of(folder, results, predictions, methods, sets["alpha"], **about)}
    for doubt in doubts(results, predictions):
        log.warning("conformal=%s: %s.", sets["method"], doubt)
    return results, draw(folder, results, predictions, methods, **about) if figures else []


def draw(
    folder: Path, results: Mapping[str, Any], predictions: Mapping[str, Splits], methods: list[str], weight: float,
    trust: bool,
) -> list[Path]:  # fmt: skip
    """Draw coverage against size of the last stage's sets; return the figures' paths."""
    from lt_calib.figure.sets import coverage_against_size
    from lt_calib.figure.style import save

    found = curves(folder, results, predictions, methods, weight, trust)
    return save(coverage_against_size(found), folder / "figures/sets")


def curves(
    folder: Path, results: Mapping[str, Any], predictions: Mapping[str, Splits], methods: list[str], weight: float,
    trust: bool,
) -> dict[str, list[tuple[float, float, float]]]:  # fmt: skip
    """Compute the last stage's mean size, macro coverage and share of under-covered classes at each of ``ALPHAS``."""
    stage = max(predictions)
    (logits, targets), groups = predictions[stage]["test"], results["dataset"]["groups"]
    found: dict[str, list[tuple[float, float, float]]] = {method: [] for method in methods}
    for method in methods:
        for alpha in ALPHAS:
            rule = fit_sets(folder, results, predictions[stage]["val"], stage, method, alpha, weight, trust)
            about = coverage(rule.sets(logits), targets, groups, alpha)
            found[method].append((about["size"], about["macro"], about["under_covered"]))
    return found
