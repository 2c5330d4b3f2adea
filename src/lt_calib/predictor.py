"""A finished run as one module: pictures to calibrated probabilities."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from lt_calib.build import finish, without
from lt_calib.calibrate import CALIBRATORS, load_calibrator
from lt_calib.check import check_targets
from lt_calib.checkpoint import load_stage, write_atomically
from lt_calib.config import register
from lt_calib.errors import InputError
from lt_calib.posthoc.base import Calibrator
from lt_calib.results import read_results

SIDE = 32  # pixels; every data set of this package is shown so
BATCH = 500
FILES = ("config.yaml", "results.json", "stage1.ckpt")


class Predictor(nn.Module):
    """A finished run's last stage, from pictures to calibrated probabilities.

    Args:
        backbone: Pictures to features.
        classifier: Features to logits.
        calibrator: Logits to probabilities; None takes their softmax.
        mean: Of each channel, on pictures scaled to [0, 1].
        std: Standard deviation, likewise.

    Attributes:
        class_names: K names.
        groups: Class indices of head, medium and tail.
    """

    mean: Tensor
    std: Tensor
    class_names: list[str]
    groups: dict[str, list[int]]

    def __init__(
        self,
        backbone: nn.Module,
        classifier: nn.Module,
        calibrator: Calibrator | None,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.calibrator = calibrator
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Compute probabilities, (B, 3, 32, 32) float32 in [0, 1] -> (B, K) float32."""
        logits = self.classifier(self.backbone((images - self.mean) / self.std))
        if self.calibrator is None:
            return torch.softmax(logits, dim=1)
        return self.calibrator.probs(logits.double()).float()

    @torch.inference_mode()
    def predict_proba(self, images: Tensor | np.ndarray) -> Tensor:
        """Compute probabilities, calibrated where the run has a calibrator, in float32 and in batches.

        Args:
            images: (N, 3, 32, 32), uint8 of 0 to 255 or float of 0 to 1; a tensor or a NumPy array.

        Shape:
            Returns (N, K) float32, rows sum to 1.

        Raises:
            ValueError: images of another shape, or floats out of [0, 1].
        """
        images = torch.as_tensor(images)
        if images.ndim != 4 or images.shape[1:] != (3, SIDE, SIDE):
            raise ValueError(f"images {tuple(images.shape)} must be (N, 3, {SIDE}, {SIDE})")
        if images.is_floating_point():
            if len(images) and not 0 <= float(images.min()) <= float(images.max()) <= 1:
                raise ValueError("float images must lie in [0, 1], not normalised; uint8 ones in 0 .. 255")
            scaled = images.float()
        else:
            scaled = images.float() / 255
        self.eval()
        return torch.cat([self(part.to(self.mean.device)).cpu() for part in scaled.split(BATCH)])


def load_run(folder: Path | str) -> Predictor:
    """Load a finished run: its last stage, and the calibrator that was fitted to that where there is one.

    Only files of this package's making are read, and they can build nothing but this package's classes.

    Args:
        folder: The run's, with config.yaml, results.json and its checkpoints.

    Returns:
        The last stage in evaluation mode; its ``calibrator`` is None where the run has none.

    Raises:
        InputError: the folder holds no finished run, or a file of it is damaged.
    """
    folder = Path(folder)
    missing = [name for name in FILES if not (folder / name).exists()]
    cfg: Any = OmegaConf.load(folder / "config.yaml") if "config.yaml" not in missing else None
    if missing == ["stage1.ckpt"] and cfg.stage1.ckpt_path:
        missing = []
    if missing:
        raise InputError(f"{folder} holds no finished run: {', '.join(missing)} is missing")
    register()
    check_targets(cfg)
    results = read_results(folder)
    k = len(results["dataset"]["class_counts"])
    data = instantiate(without(cfg.dataset, "if", "recipe"))(imbalance_factor=cfg.dataset["if"])
    backbone = instantiate(cfg.model.backbone)
    classifier = instantiate(cfg.model.classifier)(backbone.num_features, k)
    path = folder / "stage1.ckpt"
    if results["stage2"] is not None:
        features = torch.zeros(k, backbone.num_features)  # every fitted value comes from the checkpoint
        classifier = finish(
            instantiate(cfg.stage2.classifier),
            classifier,
            num_classes=k,
            prior=torch.full((k,), 1 / k),
            train_features=lambda: (features, torch.arange(k)),
            val_features=None,
        )
        path = folder / "stage2.ckpt"
    elif not path.exists():
        path = Path(cfg.stage1.ckpt_path)
    load_stage(path, backbone, classifier, data.facts)
    stage = "stage2" if results["stage2"] is not None else "stage1"
    about = results["calibrated"]
    calibrator = load_calibrator(folder / CALIBRATORS, stage, k, about[stage]) if about else None
    predictor = Predictor(backbone, classifier, calibrator, list(cfg.dataset.mean), list(cfg.dataset.std))
    predictor.class_names = results["dataset"].get("class_names") or [str(c) for c in range(k)]
    predictor.groups = results["dataset"]["groups"]
    return predictor.eval().requires_grad_(False)


def export(predictor: Predictor, path: Path) -> None:
    """Write the model, calibrator included, for other programs: images (B, 3, 32, 32) in [0, 1] -> probs (B, K).

    Args:
        predictor: A finished run.
        path: Ends with ``.pt2`` (torch.export) or ``.onnx`` (needs the extra ``export``, and a recent torch: 2.14 is).

    Raises:
        InputError: another ending, what ONNX needs is not installed, or the file cannot be written.
    """
    example = (torch.rand(2, 3, SIDE, SIDE),)
    batch = torch.export.Dim("batch", max=65_536)  # torch 2.6 wants an end
    if path.suffix == ".pt2":
        program = torch.export.export(predictor, example, dynamic_shapes=({0: batch},))
        write_atomically(path, lambda stream: torch.export.save(program, stream))
    elif path.suffix == ".onnx":
        try:
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise InputError("ONNX export needs its packages: pip install 'lt_calib[export]'") from error
        onnx = torch.onnx.export(
            predictor, example, input_names=["images"], output_names=["probs"], dynamic_shapes=({0: batch},),
            dynamo=True, verbose=False,
        )  # fmt: skip
        assert onnx is not None
        write_atomically(path, lambda stream: stream.write(onnx.model_proto.SerializeToString()))
    else:
        raise InputError(f"--export {path} must end with .pt2 (torch.export) or .onnx")
