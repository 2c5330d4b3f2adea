"""Calibrators of a job's stages: fitted to what is held out, measured, kept and read."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.errors import HydraException
from omegaconf import OmegaConf
from torch import Tensor

from lt_calib.errors import InputError
from lt_calib.files.checkpoint import read_checkpoint, write_atomically
from lt_calib.job.build_posthoc import posthoc_of, refuse_without_validation
from lt_calib.job.parts import Metrics, Posthoc, Splits
from lt_calib.job.results import with_intervals
from lt_calib.measure.binning import N_BINS
from lt_calib.measure.cross_fit import cross_fitted, log_probs, made_worse
from lt_calib.measure.evaluate import evaluate
from lt_calib.measure.weighted import effective_size
from lt_calib.posthoc.base import Calibrator
from lt_calib.prior.reweigh import image_weights, uniform_over
from lt_calib.settings.check import refuse_untrusted

CALIBRATORS = "calibrators.ckpt"
log = logging.getLogger("lt_calib.calibrate")


def calibrate(
    posthoc: Posthoc,
    predictions: Mapping[str, Splits],
    groups: Mapping[str, list[int]],
    metrics: Metrics,
    n_bins: int,
    prior: Tensor | None = None,
    tailed: bool = False,
) -> tuple[dict[str, Any], dict[str, Calibrator]]:
    """Fit one calibrator for each stage to its validation logits, and measure it on the test set.

    On the validation part it is measured by cross-fitting: each fold by a calibrator that was fitted to the others, so
    that this part may choose among calibrators.

    Args:
        posthoc: The calibrator's class, with its settings.
        predictions: Stage -> split -> (logits, targets).
        groups: Classes of head, medium and tail.
        metrics: Name -> function.
        n_bins: Of the ECE, and of all that stands beside it.
        prior: Class frequencies (K,) that the validation part is weighed to; None takes it as it is.
        tailed: Whether that part is as long-tailed as the training images; then None is of equal ones.

    Returns:
        Stage -> ``{"method", "parameters", "doubts", "test", "val", ...}``, and stage -> calibrator; ``"doubts"`` are
        sentences, and ``"val"`` is missing where a class has a single validation image, for a calibrator that
        cross-fits by itself, or where the part was weighed: then ``"prior"`` is to what, and ``"effective_size"`` as
        how many images it counts.

    Raises:
        InputError: no validation part is there to fit to, or to weigh none of a class.
    """
    found, calibrators = {}, {}
    for stage, splits in predictions.items():
        refuse_without_validation("val" in splits)
        held_out, labels = splits["val"]
        if tailed and prior is None:
            prior = uniform_over(labels, held_out.shape[1])
        weights = None if prior is None else image_weights(labels, prior)
        with warnings.catch_warnings():  # they are logged below, with the stage
            warnings.simplefilter("ignore")
            calibrator = posthoc.make(held_out.shape[1]).fit(held_out, labels, weights)
        logits, targets = splits["test"]
        after = log_probs(calibrator, logits)
        found[stage] = {
            "method": posthoc.method,
            "parameters": calibrator.settings(),
            "doubts": calibrator.doubts,
            "test": evaluate(after, targets, groups, metrics),
            **with_intervals(after, targets, n_bins, groups, metrics),
        }
        if prior is not None and weights is not None:
            found[stage] |= {"prior": prior.tolist(), "effective_size": effective_size(weights)}
        crossed = None if calibrator.cross_fits else cross_fitted(posthoc.make, held_out, labels, weights)
        if crossed is not None:
            if weights is None:
                found[stage]["val"] = evaluate(crossed, labels, groups, metrics)
            worse = made_worse(held_out, crossed, labels, weights)
            found[stage]["doubts"] = calibrator.doubts + [worse] * bool(worse)
        for doubt in found[stage]["doubts"]:
            log.warning("Stage %s after %s: %s.", stage[-1], posthoc.method, doubt)
        calibrators[stage] = calibrator
    return found, calibrators


def as_tailed(results: Mapping[str, Any]) -> bool:
    """Say whether a run's validation part is as long-tailed as its training images, which it was a part of."""
    return "cross_fit" in results or bool(results["dataset"].get("val_fraction"))


def load_calibrator(
    path: Path, stage: str, class_counts: Sequence[int], about: Mapping[str, Any], trust: bool = False
) -> Calibrator:
    """Read one stage's calibrator.

    Args:
        path: Of the file.
        stage: ``"stage1"`` or ``"stage2"``.
        class_counts: (K,) training images of each class.
        about: What results.json says of it, which must be the same.
        trust: Whether a calibrator from outside the package may be built.

    Raises:
        InputError: the file is damaged, or it would be none of this package's, or of another calibration.
    """
    content = read_checkpoint(path)
    node = OmegaConf.create({"posthoc": content.get("posthoc")})
    refuse_untrusted(node, str(path), trust)
    try:
        posthoc = posthoc_of(node, class_counts)
        calibrator = posthoc.make(len(class_counts))
        calibrator.load_state_dict(content[stage])
        same = posthoc.method == about["method"] and calibrator.settings() == about["parameters"]
    except (KeyError, TypeError, AttributeError, RuntimeError, HydraException) as error:
        raise InputError(f"{path} is no file of calibrators: {error}. Run lt_calib.calibrate again") from error
    if not same:
        raise InputError(f"{path} is of another calibration than results.json: run lt_calib.calibrate again")
    return calibrator


def add_calibrated(
    folder: Path,
    results: dict[str, Any],
    posthoc: Posthoc | None,
    predictions: Mapping[str, Splits],
    metrics: Metrics,
    figures: bool,
    prior: Tensor | None = None,
) -> tuple[dict[str, Any], list[Path]]:
    """Calibrate, write the calibrators, draw, and return the results and the figures' paths.

    Without ``posthoc`` an earlier calibration is taken back.

    Killed before the results are written, the folder has calibrators that its results do not know; load_run says so.
    """
    from lt_calib.figure.of_run import draw_calibrated, test_sets

    path, calibrated = folder / CALIBRATORS, {}
    if posthoc is not None:
        groups, n_bins = results["dataset"]["groups"], results.get("n_bins", N_BINS)
        results["calibrated"], calibrators = calibrate(
            posthoc, predictions, groups, metrics, n_bins, prior, as_tailed(results)
        )
        states = {stage: calibrator.state_dict() for stage, calibrator in calibrators.items()}
        content = {"schema": 1, "posthoc": posthoc.settings, **states}
        write_atomically(path, lambda stream: torch.save(content, stream))
        if figures:
            calibrated = {stage: (calibrators[stage](z), t) for stage, (z, t) in test_sets(predictions).items()}
    else:
        results["calibrated"] = None
        path.unlink(missing_ok=True)
    return results, draw_calibrated(folder / "figures", results, calibrated)
