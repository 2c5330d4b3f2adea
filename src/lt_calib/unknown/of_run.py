"""A run's scores of its test images beside those of a folder of images that are of none of its classes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from lt_calib.dataset.data import Data
from lt_calib.dataset.image import find_files
from lt_calib.ensemble.load import Members
from lt_calib.errors import InputError
from lt_calib.files.checkpoint import write_atomically
from lt_calib.job.build import build_data
from lt_calib.job.build_features import embedded
from lt_calib.job.results import read_results, write_json
from lt_calib.predicted import predict_files, predict_rows
from lt_calib.predictor import Predictor, load_run
from lt_calib.settings.check import make
from lt_calib.unknown.detection import Detection, detection
from lt_calib.unknown.scores import class_means, energy, feature_distance, max_logit, unsure

MEANS = "class_means.npz"


@dataclass
class Seen:
    """What a run's last stage made of images: features (N, D), logits (N, K), probabilities (N, K)."""

    features: Tensor
    logits: Tensor
    probs: Tensor

    def scores(self, centre: Tensor, means: Tensor) -> dict[str, Tensor]:
        """Compute every score, (N,) each."""
        return {
            "confidence": unsure(self.probs),
            "max_logit": max_logit(self.logits),
            "energy": energy(self.logits),
            "feature_distance": feature_distance(self.features, centre, means),
        }


def measure_unknown(folder: Path, images: Path, trust: bool = False) -> tuple[dict[str, Detection], list[str]]:
    """Measure how well each score tells a run's test images from those of a folder; results.json gets ``unknown``.

    The class means of the training features are kept in class_means.npz, for ``lt_calib.predict --scores``.

    Args:
        folder: The run's, whose data are where they were.
        images: Images of none of its classes, or a file of features where it was trained on such.
        trust: Whether parts from outside the package, which the run names, may be built.

    Returns:
        Score -> what it does, and lines that say what was left out.

    Raises:
        InputError: an average of runs, no finished run, no data, or no image that can be read.
    """
    predictor = load_run(folder, trust)
    if isinstance(predictor.backbone, Members):
        raise InputError(f"{folder} is an average of runs, whose features are not one's: name its members one by one")
    results, skipped = read_results(folder), list[str]()
    cfg: Any = OmegaConf.load(folder / "config.yaml")
    data = embedded(cfg, build_data(cfg), make(cfg, "trainer"))
    if len(data.targets("test")) == 0 or data.class_names != tuple(predictor.class_names):
        raise InputError(f"{folder}: {data.name} has other classes than the run was trained on")
    of_table = isinstance(predictor.backbone, torch.nn.Sequential) and data.num_features is not None
    backbone = predictor.backbone[1] if of_table else predictor.backbone  # type: ignore[index]
    train = torch.cat([_features(backbone, x) for x, _ in data.loader("train")])
    centre, means = class_means(train, data.targets("train"), data.num_classes)
    known = _known(predictor, backbone, data)
    unknown = _unknown(predictor, images, skipped)
    keep_means(folder, centre, means)
    both = [seen.scores(centre, means) for seen in (known, unknown)]
    found = {name: detection(both[0][name], both[1][name]) for name in both[0]}
    about = {"known": len(known.logits), "unknown": len(unknown.logits), "skipped": len(skipped)}
    kept = {**results.get("unknown", {}), str(images.resolve()): about | {n: d._asdict() for n, d in found.items()}}
    write_json(folder / "results.json", results | {"unknown": kept})
    return found, skipped


@torch.inference_mode()
def _features(backbone: Any, batch: Tensor) -> Tensor:
    return backbone(batch).float().cpu()


@torch.inference_mode()
def _known(predictor: Predictor, backbone: Any, data: Data) -> Seen:
    features = torch.cat([_features(backbone, x) for x, _ in data.loader("test")])
    logits = predictor.classifier(features).float()
    calibrator = predictor.calibrator
    return Seen(features, logits, torch.softmax(logits, dim=1) if calibrator is None else calibrator(logits))


def _unknown(predictor: Predictor, images: Path, skipped: list[str]) -> Seen:
    if not images.exists():
        raise InputError(f"{images} is not there: name a folder of images that are of none of the run's classes")
    features, logits = list[Tensor](), list[Tensor]()
    hooks = [
        predictor.backbone.register_forward_hook(lambda module, given, out: features.append(out.float().cpu())),
        predictor.classifier.register_forward_hook(lambda module, given, out: logits.append(out.float().cpu())),
    ]
    found: Iterable[tuple[str, Tensor]]
    if len(predictor.image_shape) == 1:
        found = predict_rows(predictor, images)
    else:
        paths = find_files(images, skipped)[0] if images.is_dir() else [images]
        found = predict_files(predictor, paths, skipped, [])
    probs = [p for _, p in found]
    for hook in hooks:
        hook.remove()
    if not probs:
        raise InputError(f"{images}: no image could be read ({len(skipped)} files skipped)")
    return Seen(torch.cat(features), torch.cat(logits), torch.stack(probs))


def keep_means(folder: Path, centre: Tensor, means: Tensor) -> None:
    """Write class_means.npz."""
    write_atomically(folder / MEANS, lambda stream: np.savez(stream, centre=centre.numpy(), means=means.numpy()))


def kept_means(folder: Path) -> tuple[Tensor, Tensor] | None:
    """Read class_means.npz; None where there is none."""
    if not (folder / MEANS).is_file():
        return None
    with np.load(folder / MEANS, allow_pickle=False) as arrays:
        return torch.from_numpy(arrays["centre"]), torch.from_numpy(arrays["means"])


def lines_of(found: Mapping[str, Detection], skipped: list[str], images: Path) -> Iterator[str]:
    """Say it in lines of at most 80 letters, with one sentence at the end."""
    yield f"{'score':18}{'AUROC, %, 95 % interval':>28}{'unknown ones that pass, %':>32}"
    for name, d in found.items():
        area = f"{100 * d.auroc:.1f} ({100 * d.auroc_low:.1f}, {100 * d.auroc_high:.1f})"
        passed = f"{100 * d.fpr95:.1f} ({100 * d.fpr95_low:.1f}, {100 * d.fpr95_high:.1f})"
        yield f"{name:18}{area:>28}{passed:>32}"
    yield "pass: at the threshold that 95 % of the test images pass"
    if skipped:
        yield f"{len(skipped)} files could not be read and are left out"
    yield (
        f"In short: told by its confidence, the model takes {100 * found['confidence'].fpr95:.0f} of 100 images of "
        f"{images.name} for ones of its classes. Calibration is no detector of the unknown."
    )
