"""A temperature fitted to a tenth of the tail itself, weighed to balance, beside that of a balanced held-out part.

``python -m benchmarks.validation EMBEDDINGS.npz``, a file of ``python -m lt_calib.features`` with
``dataset.val_per_class=20``: the balanced part is its ``val_*``, of which no run sees anything; the tenth is of its
training rows, another in each split.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lt_calib.job.results import read_predictions
from lt_calib.metric.ece import expected_calibration_error
from lt_calib.metric.nll import negative_log_likelihood
from lt_calib.posthoc.temperature import best_temperature
from lt_calib.predictor import load_run
from lt_calib.prior.reweigh import image_weights, uniform_over
from lt_calib.run import run
from lt_calib.settings.schema import composed

SPLITS, FRACTION = 5, 0.1
HEAD = f"{'experiment, split, fitted to':48}{'T':>7}{'ECE':>8}{'NLL':>8}"


def of_split(
    file: Path, balanced: tuple[Tensor, Tensor], experiment: str, split: int, folder: Path
) -> dict[str, float]:
    """Train on nine tenths of the tail; return the temperature of each kind of held-out part."""
    data = [
        "dataset=features",
        f"dataset.file={file}",
        f"dataset.val_fraction={FRACTION}",
        f"dataset.split_seed={split}",
    ]
    quiet = ["figures=false", "cache=off", "trainer.accelerator=cpu"]
    run(composed(f"+experiment={experiment}", *data, *quiet), folder)
    logits, targets = max(read_predictions(folder / "predictions.npz").items())[1]["val"]
    weights = image_weights(targets, uniform_over(targets, logits.shape[1]))
    of_balanced = load_run(folder).predict_proba(balanced[0]).double().clamp(min=1e-30).log()
    return {
        "none": 1.0,
        "the tenth, unweighted": float(best_temperature(logits.double(), targets)),
        "the tenth, weighed": float(best_temperature(logits.double(), targets, weights)),
        "balanced part": float(best_temperature(of_balanced, balanced[1])),
    }


def main() -> None:
    """Print a table: per split, and mean and standard deviation over the splits."""
    with np.load(sys.argv[1]) as arrays:
        balanced = torch.from_numpy(arrays["val_features"]), torch.from_numpy(arrays["val_targets"])
        others = {name: arrays[name] for name in arrays.files if not name.startswith("val_")}
    print(HEAD)
    with tempfile.TemporaryDirectory() as there:
        file = Path(there) / "tail.npz"
        np.savez(file, **others)
        for experiment in ("frozen_ce", "frozen_balanced_softmax", "frozen_awabs"):
            found: dict[str, list[tuple[float, float, float]]] = {}
            for split in range(SPLITS):
                folder = Path(there) / f"{experiment}{split}"
                temperatures = of_split(file, balanced, experiment, split, folder)
                logits, targets = max(read_predictions(folder / "predictions.npz").items())[1]["test"]
                for part, t in temperatures.items():
                    ece = 100 * float(expected_calibration_error(torch.softmax(logits / t, 1), targets))
                    nll = float(negative_log_likelihood(logits / t, targets))
                    found.setdefault(part, []).append((t, ece, nll))
                    print(f"{f'{experiment} {split}, {part}':48}{t:7.3f}{ece:8.2f}{nll:8.3f}", flush=True)
            for part, rows in found.items():
                of = [f"{statistics.mean(x):.3f} +- {statistics.stdev(x):.3f}" for x in zip(*rows, strict=True)]
                print(f"{experiment}, {part}: T, ECE, NLL {', '.join(of)}")


if __name__ == "__main__":
    main()
