"""An ensemble's folder as one module."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from lt_calib.ensemble.average import Average
from lt_calib.errors import InputError
from lt_calib.files.checkpoint import sha256_of
from lt_calib.job.build_prior import run_prior
from lt_calib.job.calibrators import CALIBRATORS, load_calibrator
from lt_calib.job.results import read_results

if TYPE_CHECKING:
    from lt_calib.predictor import Predictor

MEMBERS = "ensemble.json"


class Members(nn.Module):
    """Several runs' networks side by side: images (B, C, H, W) in [0, 1] -> log p (B, M, K) float32."""

    def __init__(self, predictors: "list[Predictor]") -> None:
        super().__init__()
        self.predictors = nn.ModuleList(predictors)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logarithm of each one's softmax, without its calibrator."""
        every: list[Any] = list(self.predictors)
        logits = [one.classifier(one.backbone((images - one.mean) / one.std)) for one in every]
        return torch.stack([torch.log_softmax(z.float(), dim=1) for z in logits], dim=1)


def load_ensemble(folder: Path, trust: bool = False) -> "Predictor":
    """Load all members of an ensemble, and its calibrator where it has one; see :func:`lt_calib.predictor.load_run`.

    Raises:
        InputError: a member is not where it was, or has changed.
    """
    from lt_calib.predictor import Predictor, load_run

    about = json.loads((folder / MEMBERS).read_text())
    results, members = read_results(folder), []
    for member in about["members"]:
        there = Path(member["folder"])
        if not (there / "results.json").is_file():
            raise InputError(f"{folder} is made of {there}, which is not there: move it back, or average again")
        found = last_checkpoint(there)
        if found != member["sha256"]:
            raise InputError(f"{folder} is made of {there}, which has another checkpoint now: average again")
        members.append(load_run(there, trust))
    first, data = members[0], results["dataset"]
    stage = "stage2" if results["stage2"] is not None else "stage1"
    calibrated, calibrator = results["calibrated"], None
    if calibrated:
        calibrator = load_calibrator(folder / CALIBRATORS, stage, data["class_counts"], calibrated[stage], trust)
    channels = len(first.mean.flatten())
    predictor = Predictor(
        Members(members), Average(about["of"]), calibrator, [0.0] * channels, [1.0] * channels, first.image_shape
    )
    predictor.class_names, predictor.groups = first.class_names, first.groups
    predictor.class_counts, predictor.transform = first.class_counts, first.transform
    cfg: Any = OmegaConf.load(folder / "config.yaml")
    predictor.own = partial(run_prior, folder, cfg, results, stage, calibrator, trust)
    return predictor.eval().requires_grad_(False)


def last_checkpoint(folder: Path) -> str | None:
    """Hash the last stage's checkpoint of a run, its own or the stage 1 that it was given; None where there is none."""
    results = read_results(folder)
    own = [folder / f"stage{n}.ckpt" for n in (2, 1) if (folder / f"stage{n}.ckpt").is_file()]
    return sha256_of(own[0]) if own else results["stage1"].get("sha256")
