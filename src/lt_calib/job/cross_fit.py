"""Each training row predicted by stages that were trained on the other folds: held out in turn, and none for good."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lt_calib.dataset.split import folds_of
from lt_calib.job.fit import begin, train
from lt_calib.job.parts import Job, Stage
from lt_calib.stage.classifier import ClassifierModule
from lt_calib.stage.grid import GridModule

log = logging.getLogger(__name__)


@dataclass
class Fold:
    """The stages that were trained without the rows of one fold.

    Attributes:
        rows: (n,) int64, which training rows are held out.
        features: (n, D) float32, theirs.
        stages: Trained on the others.
        grid: Stage 2 at all points of the grid, where there is one.
    """

    rows: Tensor
    features: Tensor
    stages: list[Stage]
    grid: GridModule | None = None

    @torch.no_grad()
    def inputs(self) -> Tensor:
        """Compute what its classifiers see of the held-out rows, (n, D) float32."""
        return self.stages[0].module.backbone.eval()(self.features)

    @torch.no_grad()
    def logits(self, stage: str, point: int) -> Tensor:
        """Predict the held-out rows by a stage, (n, K) float32; of a grid by one of its points."""
        module: Any = next(s.module for s in self.stages if s.name == stage)
        features = self.inputs()
        if self.grid is not None and stage == "stage2":
            return self.grid.point_logits(point, features)
        return module.classifier.eval()(features).float()


def fit_folds(job: Job) -> list[Fold]:
    """Train all stages once for each fold, without its rows; of a grid all points in one pass.

    Rows of a class that a fold holds all of are trained on and not predicted: a class that is not there has no prior.
    """
    assert job.cross_fit is not None
    data = job.data
    features, targets = data.raw("train"), data.targets("train")
    place = folds_of(targets, data.together("train"), job.cross_fit.folds, data.split_seed)
    found = []
    for number in range(job.cross_fit.folds):
        held = place == number
        kept = torch.bincount(targets[~held], minlength=data.num_classes)
        held &= kept[targets] > 0
        if not held.any():
            continue
        log.info("Fold %d of %d: %d of %d rows are held out.", number + 1, job.cross_fit.folds, held.sum(), len(held))
        others = data.with_train(features[~held], targets[~held])
        stages, grid = job.cross_fit.parts(others)
        there = replace(job, data=others)
        fold = Fold(held.nonzero()[:, 0], features[held], stages)
        for stage in stages:
            begin(there, stage)
            if grid is not None and isinstance(stage.module, ClassifierModule):
                fold.grid = GridModule(stage.module, grid.losses, grid.rates, grid.lr_factors, grid.weight_decays)
                train(job.trainer, stage, fold.grid)
                fold.grid.cpu()
            else:
                train(job.trainer, stage, stage.module)
            stage.module.cpu()
        found.append(fold)
    missing = len(targets) - sum(len(fold.rows) for fold in found)
    if missing:
        log.info("%d rows are never held out: of their classes no other row is there.", missing)
    tune(job.stages[-1], found, targets)
    return found


def tune(stage: Stage, folds: Sequence[Fold], targets: Tensor) -> None:
    """Let the last classifier, and the folds', choose on held-out rows what it would choose on a validation part.

    Args:
        stage: The job's last, which has not begun.
        folds: Trained, with what they hold out.
        targets: Of all training rows.
    """
    if not hasattr(stage.module.classifier, "tune"):
        return
    parts = [(fold.inputs(), targets[fold.rows], fold.stages[0].module.classifier) for fold in folds]
    for classifier in (stage.module.classifier, *(fold.stages[-1].module.classifier for fold in folds)):
        classifier.tune(parts)  # type: ignore[operator, union-attr]
    for fold in folds:
        first, last = (fold.stages[place].module.classifier for place in (0, -1))
        last.prepare(first, lambda split: None)  # type: ignore[operator, union-attr]


def held_out(job: Job, stage: str, point: int = 0) -> tuple[Tensor, Tensor]:
    """Return logits (N, K) and targets (N,) of the rows that were held out in turn, in the order of the folds."""
    rows = torch.cat([fold.rows for fold in job.folds])
    return torch.cat([fold.logits(stage, point) for fold in job.folds]), job.data.targets("train")[rows]
