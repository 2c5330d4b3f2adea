"""A finished run as one module: pictures to calibrated probabilities."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from lt_calib.ensemble.load import MEMBERS, load_ensemble
from lt_calib.errors import InputError
from lt_calib.files.checkpoint import load_stage, stage1_of
from lt_calib.job.build_features import backbone_of
from lt_calib.job.build_prior import Own, run_prior
from lt_calib.job.calibrators import CALIBRATORS, load_calibrator
from lt_calib.job.results import read_results
from lt_calib.posthoc.base import Calibrator
from lt_calib.prior.named import prior_of
from lt_calib.prior.reweigh import reweighed
from lt_calib.settings.check import make, refuse_untrusted
from lt_calib.settings.schema import register

BATCH = 500
DTYPES = ("uint8", "float16", "bfloat16", "float32", "float64")
FILES = ("config.yaml", "results.json", "stage1.ckpt")


class Predictor(nn.Module):
    """A finished run's last stage, from pictures to calibrated probabilities.

    Args:
        backbone: Pictures to features.
        classifier: Features to logits.
        calibrator: Logits to probabilities; None takes their softmax.
        mean: Of each channel, on pictures scaled to [0, 1].
        std: Standard deviation, likewise.
        image_shape: (C, H, W) of what the network was trained on; (D,) where that are features.

    Attributes:
        class_names: K names.
        groups: Class indices of head, medium and tail.
        transform: Its ``fit`` brings an image of any size to the network's, where it has one.
        class_counts: Training images per class.
        own: Finds the prior of its own predictions; None where no run says.
    """

    mean: Tensor
    std: Tensor
    class_names: list[str]
    groups: dict[str, list[int]]
    transform: Any
    class_counts: list[int]
    own: Callable[[], Own] | None = None

    def __init__(
        self,
        backbone: nn.Module,
        classifier: nn.Module,
        calibrator: Calibrator | None,
        mean: Sequence[float],
        std: Sequence[float],
        image_shape: Sequence[int] = (3, 32, 32),
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.calibrator = calibrator
        self.image_shape = tuple(image_shape)
        self.transform = None
        across = [1] * (len(self.image_shape) - 1)
        self.register_buffer("mean", torch.tensor(mean).view(-1, *across))
        self.register_buffer("std", torch.tensor(std).view(-1, *across))

    def forward(self, images: Tensor) -> Tensor:
        """Compute probabilities, (B, C, H, W) float32 in [0, 1] -> (B, K) float32."""
        logits = self.classifier(self.backbone((images - self.mean) / self.std))
        if self.calibrator is None:
            return torch.softmax(logits, dim=1)
        return self.calibrator.probs(logits.double()).float()

    def own_prior(self) -> Own:
        """Find the prior that its own predictions are for, see :func:`lt_calib.job.build_prior.own_prior`.

        Raises:
            InputError: no run says.
        """
        if self.own is None:
            raise InputError(
                "of which prior these predictions are is known of a finished run alone: take load_run(...)"
            )
        return self.own()

    def predict_proba(
        self, images: Tensor | np.ndarray, prior: str | Path | Sequence[float] | Tensor | None = None
    ) -> Tensor:
        """Compute probabilities, calibrated where the run has a calibrator, in float32 and in batches.

        A dtype says where white is: uint8 at 255, a floating one (of 16, 32 or 64 bits) at 1. Of no other dtype it is
        known, of uint16 say, which holds images of 10, 12, 14 and 16 bits: divide by the value that is white.

        Args:
            images: (N, C, H, W), N >= 0, uint8 of 0 to 255 or floats of 0 to 1; a tensor or a NumPy array. For a run
                on features, those: (N, D), finite numbers of any dtype.
            prior: Class frequencies of these images: ``"uniform"``, ``"train"``, ``"forward50"``, ``"backward50"``, a
                .csv of counts, or K numbers > 0 (:func:`lt_calib.prior.named.prior_of`); None leaves the run's own.

        Shape:
            Returns (N, K) float32, rows sum to 1.

        Raises:
            ValueError: images of another shape or dtype, floats out of [0, 1], NaN among them, or another prior.
        """
        if prior is None:
            return self._probs(images)
        q = prior_of(prior, self.class_counts, self.class_names)
        return reweighed(self._probs(images), q, self.own_prior().prior)

    @torch.inference_mode()
    def _probs(self, images: Tensor | np.ndarray) -> Tensor:
        if len(self.image_shape) == 1:
            return self._of_rows(images)
        images = images if isinstance(images, Tensor) else np.asarray(images)
        dtype = str(images.dtype).removeprefix("torch.") if isinstance(images, Tensor) else images.dtype.name
        if dtype not in DTYPES:
            raise ValueError(
                f"images of dtype {dtype} do not say which value is white: give uint8 of 0 to 255, or floats of 0 to "
                "1, that is images / WHITE, where WHITE is 65535 for 16 bits, 4095 for 12, 1 for bool"
            )
        if isinstance(
            images, np.ndarray
        ):  # in the machine's order of bytes, without negative strides, as torch takes it
            kept = np.float32 if dtype == "bfloat16" else images.dtype.newbyteorder("=")
            images = torch.from_numpy(np.require(images, kept, ["C", "W"]))
        if images.ndim != 4 or images.shape[1:] != self.image_shape:
            raise ValueError(f"images {tuple(images.shape)} must be (N, {', '.join(map(str, self.image_shape))})")
        if images.is_floating_point() and len(images):
            low, high = float(images.min()), float(images.max())
            if not 0 <= low <= high <= 1:
                raise ValueError(
                    f"images of dtype {dtype} must lie in [0, 1], not normalized, and these are {low:g} to {high:g}: "
                    "divide them by the value that is white, 255 say, or give them as uint8"
                )
        self.eval()
        parts = images.split(BATCH)
        scaled = (part.to(self.mean.device).float() / (1 if part.is_floating_point() else 255) for part in parts)
        return torch.cat([self(part).cpu() for part in scaled])

    def _of_rows(self, rows: Tensor | np.ndarray) -> Tensor:
        rows = torch.as_tensor(rows).float()
        if rows.ndim != 2 or rows.shape[1:] != self.image_shape:
            raise ValueError(f"features {tuple(rows.shape)} must be (N, {self.image_shape[0]})")
        bad = torch.nonzero(~rows.isfinite().all(1))
        if len(bad):
            raise ValueError(f"features: {len(bad)} rows are not finite, row {int(bad[0])} (0-based) the first")
        return torch.cat([self.eval()(part.to(self.mean.device)).cpu() for part in rows.split(BATCH)])


def load_run(folder: Path | str, trust: bool = False) -> Predictor:
    """Load a finished run: its last stage, and the calibrator that was fitted to that where there is one.

    Of an average of runs (``lt_calib.ensemble``) all members.

    Only files of this package's making are read. They build the network, its classifiers, the transform and the
    calibrator, nothing else, and only this package's classes unless you trust them.

    Args:
        folder: The run's, with config.yaml, results.json and its checkpoints.
        trust: Whether parts from outside the package may be built too.

    Returns:
        The last stage in evaluation mode; its ``calibrator`` is None where the run has none.

    Raises:
        InputError: the folder holds no finished run, a file of it is damaged, or it names code outside the package.
    """
    folder = Path(folder)
    if (folder / MEMBERS).is_file():
        return load_ensemble(folder, trust)
    missing = [name for name in FILES if not (folder / name).exists()]
    cfg: Any = OmegaConf.load(folder / "config.yaml") if "config.yaml" not in missing else None
    if missing == ["stage1.ckpt"] and cfg.stage1.ckpt_path:
        missing = []
    if missing:
        raise InputError(f"{folder} holds no finished run: {', '.join(missing)} is missing")
    register()
    results = read_results(folder)
    two_stages = results["stage2"] is not None
    for node in (cfg.model, cfg.transform, *([cfg.stage2.classifier] if two_stages else [])):
        refuse_untrusted(node, str(folder / "config.yaml"), trust)
    data = results["dataset"]
    k, shape = len(data["class_counts"]), data["image_shape"]
    backbone, network = backbone_of(cfg, results)
    classifier = make(cfg, "model.classifier", backbone.num_features, k)
    if two_stages:
        prior = torch.full((k,), 1 / k)  # every fitted value comes from the checkpoint
        classifier = make(cfg, "stage2.classifier", classifier, num_classes=k, prior=prior, corrected=False)
        path = folder / "stage2.ckpt"
    else:
        path = stage1_of(folder, cfg.stage1.ckpt_path, results["stage1"].get("sha256"))
    facts = {key: data[key] for key in ("name", "val_per_class", "val_fraction", "split_seed") if key in data}
    load_stage(path, backbone, classifier, facts | {"imbalance_factor": float(data["imbalance_factor"])})
    stage = "stage2" if two_stages else "stage1"
    about = results["calibrated"]
    path, counts = folder / CALIBRATORS, data["class_counts"]
    calibrator = load_calibrator(path, stage, counts, about[stage], trust) if about else None
    seen = results["transform"] if len(shape) == 3 else {"mean": [0.0], "std": [1.0]}
    whole = backbone if network is None else nn.Sequential(network, backbone)
    predictor = Predictor(whole, classifier, calibrator, seen["mean"], seen["std"], shape)
    predictor.class_names = data.get("class_names") or [str(c) for c in range(k)]
    predictor.groups = data["groups"]
    predictor.class_counts = data["class_counts"]
    predictor.own = partial(run_prior, folder, cfg, results, stage, calibrator, trust)
    predictor.transform = make(cfg, "transform")
    return predictor.eval().requires_grad_(False)
