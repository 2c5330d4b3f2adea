"""Post-hoc calibration of a finished run, on its held-out validation part.

``python -m lt_calib.calibrate RUN_FOLDER posthoc=temperature``
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.errors import CompactHydraException, HydraException
from omegaconf import OmegaConf
from torch import Tensor

from lt_calib.closed_pipe import outlive_reader
from lt_calib.errors import InputError
from lt_calib.files.checkpoint import read_checkpoint, write_atomically
from lt_calib.job.build_posthoc import posthoc_of, refuse_without_validation
from lt_calib.job.parts import Metrics, Posthoc, Splits
from lt_calib.job.results import read_predictions, read_results, with_intervals, write_json
from lt_calib.measure.evaluate import evaluate
from lt_calib.posthoc.base import Calibrator
from lt_calib.settings.check import check_keys, make, refuse_untrusted
from lt_calib.settings.schema import composed

USAGE = "usage: python -m lt_calib.calibrate RUN posthoc=temperature|vector|class_temperature|isotonic|none [--trust]"
CALIBRATORS = "calibrators.ckpt"
FOLDS = 5


def calibrate(
    posthoc: Posthoc, predictions: Mapping[str, Splits], groups: Mapping[str, list[int]], metrics: Metrics
) -> tuple[dict[str, Any], dict[str, Calibrator]]:
    """Fit one calibrator for each stage to its validation logits, and measure it on the test set.

    On the validation part it is measured by cross-fitting: each fold by a calibrator that was fitted to the others, so
    that this part may choose among calibrators.

    Args:
        posthoc: The calibrator's class, with its settings.
        predictions: Stage -> split -> (logits, targets).
        groups: Classes of head, medium and tail.
        metrics: Name -> function.

    Returns:
        Stage -> ``{"method", "parameters", "test", "val", ...}``, and stage -> calibrator; ``"val"`` is missing where
        a class has a single validation picture.

    Raises:
        InputError: no validation part is there to fit to.
    """
    found, calibrators = {}, {}
    for stage, splits in predictions.items():
        refuse_without_validation("val" in splits)
        calibrator = posthoc.make(splits["val"][0].shape[1]).fit(*splits["val"])
        logits, targets = splits["test"]
        log_probs = _log_probs(calibrator, logits)
        found[stage] = {
            "method": posthoc.method,
            "parameters": calibrator.settings(),
            "test": evaluate(log_probs, targets, groups, metrics),
            **with_intervals(log_probs, targets),
        }
        crossed = cross_fitted(posthoc.make, *splits["val"])
        if crossed is not None:
            found[stage]["val"] = evaluate(crossed, splits["val"][1], groups, metrics)
        calibrators[stage] = calibrator
    return found, calibrators


def cross_fitted(make: Callable[[int], Calibrator], logits: Tensor, targets: Tensor) -> Tensor | None:
    """Calibrate each fold by what was fitted to the others; fold i has every class's pictures i, i + F, i + 2 F, ...

    Args:
        make: Builds a calibrator for K classes.
        logits: (N, K) float32.
        targets: (N,) int64.

    Returns:
        Logarithms of the probabilities, (N, K) float64; None where a class has less than two pictures.
    """
    counts = torch.bincount(targets, minlength=logits.shape[1])
    folds = min(FOLDS, int(counts.min()))
    if folds < 2:
        return None
    place = torch.zeros_like(targets)
    for c in range(len(counts)):
        place[targets == c] = torch.arange(int(counts[c])) % folds
    out = torch.zeros(logits.shape, dtype=torch.float64)
    for fold in range(folds):
        held = place == fold
        calibrator = make(logits.shape[1]).fit(logits[~held], targets[~held])
        out[held] = _log_probs(calibrator, logits[held])
    return out


def _log_probs(calibrator: Calibrator, logits: Tensor) -> Tensor:
    return calibrator(logits).double().clamp(min=torch.finfo(torch.float64).tiny).log()


def save_calibrators(path: Path, posthoc: Posthoc, calibrators: Mapping[str, Calibrator]) -> None:
    """Write the calibrators of both stages: their settings and state dicts."""
    content = {
        "schema": 1,
        "posthoc": posthoc.settings,
        **{stage: calibrator.state_dict() for stage, calibrator in calibrators.items()},
    }
    write_atomically(path, lambda stream: torch.save(content, stream))


def load_calibrator(
    path: Path, stage: str, num_classes: int, about: Mapping[str, Any], trust: bool = False
) -> Calibrator:
    """Read one stage's calibrator.

    Args:
        path: Of the file.
        stage: ``"stage1"`` or ``"stage2"``.
        num_classes: K.
        about: What results.json says of it, which must be the same.
        trust: Whether a calibrator from outside the package may be built.

    Raises:
        InputError: the file is damaged, or it would be none of this package's, or of another calibration.
    """
    content = read_checkpoint(path)
    node = OmegaConf.create({"posthoc": content.get("posthoc")})
    refuse_untrusted(node, str(path), trust)
    try:
        posthoc = posthoc_of(node)
        calibrator = posthoc.make(num_classes)
        calibrator.load_state_dict(content[stage])
        same = posthoc.method == about["method"] and calibrator.settings() == about["parameters"]
    except (KeyError, TypeError, AttributeError, RuntimeError, HydraException) as error:
        raise InputError(f"{path} is no file of calibrators: {error}. Run lt_calib.calibrate again") from error
    if not same:
        raise InputError(f"{path} is of another calibration than results.json: run lt_calib.calibrate again")
    return calibrator


def calibrate_folder(folder: Path, overrides: list[str], trust: bool = False) -> dict[str, Any]:
    """Calibrate a finished run from its saved logits; results.json gets ``calibrated``.

    Args:
        folder: A run's.
        overrides: ``posthoc=...`` and ``posthoc.KEY=...``; ``hydra.searchpath=[...]`` for one of one's own.
        trust: Whether metrics from outside the package, which the run's settings name, may be built.

    Raises:
        InputError: the folder holds no finished run, or none with a validation part.
    """
    other = [o for o in overrides if not o.lstrip("+").startswith(("posthoc", "hydra.searchpath"))]
    if other or not overrides:
        raise InputError(f"{' '.join(other) or 'no posthoc= given'}: only posthoc can be set here. {USAGE}")
    files = [folder / name for name in ("results.json", "predictions.npz", "config.yaml")]
    missing = [file.name for file in files if not file.exists()]
    if missing:
        raise InputError(f"{folder} holds no finished run: {', '.join(missing)} is missing. {USAGE}")
    cfg = composed(*overrides)
    check_keys(cfg)
    results = read_results(folder)
    old: Any = OmegaConf.load(files[2])
    refuse_untrusted(old.metric, str(files[2]), trust)
    predictions = read_predictions(files[1])
    metrics = {name: make(old, f"metric.{name}") for name in old.metric}
    posthoc = posthoc_of(cfg) if "_target_" in cfg.posthoc else None
    results, _ = add_calibrated(folder, results, posthoc, predictions, metrics, old.figures)
    write_json(folder / "results.json", results)
    return results


def add_calibrated(
    folder: Path,
    results: dict[str, Any],
    posthoc: Posthoc | None,
    predictions: Mapping[str, Splits],
    metrics: Metrics,
    figures: bool,
) -> tuple[dict[str, Any], list[Path]]:
    """Calibrate, write the calibrators, draw, and return the results and the figures' paths.

    Without ``posthoc`` an earlier calibration is taken back.

    Killed before the results are written, the folder has calibrators that its results do not know; load_run says so.
    """
    from lt_calib.figure.of_run import draw_calibrated, test_sets

    path, calibrated = folder / CALIBRATORS, {}
    if posthoc is not None:
        results["calibrated"], calibrators = calibrate(posthoc, predictions, results["dataset"]["groups"], metrics)
        save_calibrators(path, posthoc, calibrators)
        if figures:
            calibrated = {stage: (calibrators[stage](z), t) for stage, (z, t) in test_sets(predictions).items()}
    else:
        results["calibrated"] = None
        path.unlink(missing_ok=True)
    return results, draw_calibrated(folder / "figures", results, calibrated)


def main() -> None:
    """Run the command."""
    outlive_reader()
    from lt_calib.job.screen import print_table

    arguments = [a for a in sys.argv[1:] if a != "--trust"]
    folder, *overrides = arguments or ["--help"]
    if folder in ("-h", "--help"):
        sys.exit(USAGE)
    try:
        print_table(calibrate_folder(Path(folder), overrides, trust="--trust" in sys.argv))
    except (ValueError, HydraException, CompactHydraException) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
