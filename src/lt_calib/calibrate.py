"""Post-hoc calibration of a finished run, on its held-out validation part.

``python -m lt_calib.calibrate RUN_FOLDER posthoc=temperature``
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.errors import CompactHydraException, HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from lt_calib.check import check_keys, check_targets
from lt_calib.checkpoint import read_checkpoint, write_atomically
from lt_calib.config import conf_dir, register
from lt_calib.errors import InputError
from lt_calib.metric.evaluate import evaluate
from lt_calib.posthoc.base import Calibrator
from lt_calib.results import Metrics, Splits, read_predictions, read_results, with_intervals, write_json

USAGE = "usage: python -m lt_calib.calibrate RUN_FOLDER posthoc=temperature|vector|class_temperature|isotonic|none"
CALIBRATORS = "calibrators.ckpt"
FOLDS = 5


def calibrate(
    node: DictConfig, predictions: Mapping[str, Splits], groups: Mapping[str, list[int]], metrics: Metrics
) -> tuple[dict[str, Any], dict[str, Calibrator]]:
    """Fit one calibrator for each stage to its validation logits, and measure it on the test set.

    On the validation part it is measured by cross-fitting: each fold by a calibrator that was fitted to the others, so
    that this part may choose among calibrators.

    Args:
        node: The setting ``posthoc``.
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
        calibrator = instantiate(node)(splits["val"][0].shape[1]).fit(*splits["val"])
        logits, targets = splits["test"]
        log_probs = _log_probs(calibrator, logits)
        found[stage] = {
            "method": node._target_.rsplit(".", 2)[-2],
            "parameters": calibrator.settings(),
            "test": evaluate(log_probs, targets, groups, metrics),
            **with_intervals(log_probs, targets),
        }
        crossed = cross_fitted(node, *splits["val"])
        if crossed is not None:
            found[stage]["val"] = evaluate(crossed, splits["val"][1], groups, metrics)
        calibrators[stage] = calibrator
    return found, calibrators


def cross_fitted(node: DictConfig, logits: Tensor, targets: Tensor) -> Tensor | None:
    """Calibrate each fold by what was fitted to the others; fold i has every class's pictures i, i + F, i + 2 F, ...

    Args:
        node: The setting ``posthoc``.
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
        calibrator = instantiate(node)(logits.shape[1]).fit(logits[~held], targets[~held])
        out[held] = _log_probs(calibrator, logits[held])
    return out


def _log_probs(calibrator: Calibrator, logits: Tensor) -> Tensor:
    return calibrator(logits).double().clamp(min=torch.finfo(torch.float64).tiny).log()


def refuse_without_validation(held_out: bool) -> None:
    """Refuse to calibrate where nothing is held out: the test set is not for fitting."""
    if not held_out:
        raise InputError(
            "posthoc calibration is fitted on held-out validation pictures, and none are held out: train with "
            "dataset.val_per_class=200 (CIFAR-10), 20 (CIFAR-100) or 10 (digits), or take posthoc=none"
        )


def save_calibrators(path: Path, node: DictConfig, calibrators: Mapping[str, Calibrator]) -> None:
    """Write the calibrators of both stages: their settings and state dicts."""
    content = {
        "schema": 1,
        "posthoc": OmegaConf.to_container(node),
        **{stage: calibrator.state_dict() for stage, calibrator in calibrators.items()},
    }
    write_atomically(path, lambda stream: torch.save(content, stream))


def load_calibrator(path: Path, stage: str, num_classes: int, about: Mapping[str, Any]) -> Calibrator:
    """Read one stage's calibrator.

    Args:
        path: Of the file.
        stage: ``"stage1"`` or ``"stage2"``.
        num_classes: K.
        about: What results.json says of it, which must be the same.

    Raises:
        InputError: the file is damaged, or it would be none of this package's, or of another calibration.
    """
    content = read_checkpoint(path)
    node = OmegaConf.create(content.get("posthoc"))
    check_targets(node)
    try:
        calibrator = instantiate(node)(num_classes)
        calibrator.load_state_dict(content[stage])
        same = node._target_.rsplit(".", 2)[-2] == about["method"] and calibrator.settings() == about["parameters"]
    except (KeyError, TypeError, AttributeError, RuntimeError, HydraException) as error:
        raise InputError(f"{path} is no file of calibrators: {error}. Run lt_calib.calibrate again") from error
    if not same:
        raise InputError(f"{path} is of another calibration than results.json: run lt_calib.calibrate again")
    return calibrator


def calibrate_folder(folder: Path, overrides: list[str]) -> dict[str, Any]:
    """Calibrate a finished run from its saved logits; results.json gets ``calibrated``.

    Args:
        folder: A run's.
        overrides: ``posthoc=...`` and ``posthoc.KEY=...``.

    Raises:
        InputError: the folder holds no finished run, or none with a validation part.
    """
    other = [o for o in overrides if not o.lstrip("+").startswith("posthoc")]
    if other or not overrides:
        raise InputError(f"{' '.join(other) or 'no posthoc= given'}: only posthoc can be set here. {USAGE}")
    files = [folder / name for name in ("results.json", "predictions.npz", "config.yaml")]
    missing = [file.name for file in files if not file.exists()]
    if missing:
        raise InputError(f"{folder} holds no finished run: {', '.join(missing)} is missing. {USAGE}")
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("config", overrides)
    check_keys(cfg)
    results = read_results(folder)
    old: Any = OmegaConf.load(files[2])
    check_targets(old)
    predictions = read_predictions(files[1])
    results, _ = add_calibrated(folder, results, cfg.posthoc, predictions, instantiate(old.metric), old.figures)
    write_json(folder / "results.json", results)
    return results


def add_calibrated(
    folder: Path,
    results: dict[str, Any],
    node: DictConfig,
    predictions: Mapping[str, Splits],
    metrics: Metrics,
    figures: bool,
) -> tuple[dict[str, Any], list[Path]]:
    """Calibrate, write the calibrators, draw, and return the results and the figures' paths.

    ``posthoc=none`` takes an earlier calibration back.

    Killed before the results are written, the folder has calibrators that its results do not know; load_run says so.
    """
    from lt_calib.figure.of_run import draw_calibrated, test_sets  # with matplotlib, which predict need not wait for

    path, calibrated = folder / CALIBRATORS, {}
    if "_target_" in node:
        results["calibrated"], calibrators = calibrate(node, predictions, results["dataset"]["groups"], metrics)
        save_calibrators(path, node, calibrators)
        if figures:
            calibrated = {stage: (calibrators[stage](z), t) for stage, (z, t) in test_sets(predictions).items()}
    else:
        results["calibrated"] = None
        path.unlink(missing_ok=True)
    return results, draw_calibrated(folder / "figures", results, calibrated)


def main() -> None:
    """Run the command."""
    from lt_calib.screen import print_table

    arguments = sys.argv[1:]
    folders = [a for a in arguments if "=" not in a]
    if len(folders) != 1 or folders[0] in ("-h", "--help"):
        sys.exit(USAGE)
    try:
        print_table(calibrate_folder(Path(folders[0]), [a for a in arguments if "=" in a]))
    except (ValueError, HydraException, CompactHydraException) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
