"""What a job is made of, once the configuration has been read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lt_calib.dataset.data import Data
from lt_calib.logger.base import Logger
from lt_calib.measure.evaluate import MetricFunction
from lt_calib.posthoc.base import Calibrator
from lt_calib.sampler.base import EpochSampler
from lt_calib.stage.base import StageModule
from lt_calib.training.batch_augment import BatchAugment
from lt_calib.training.trainer import TrainerSettings

Splits = Mapping[str, tuple[Tensor, Tensor]]  # split -> logits (N, K) float32, targets (N,) int64
Metrics = Mapping[str, MetricFunction]
Point = dict[str, Any]


@dataclass
class Grid:
    """The points of ``+grid=...``: settings of stage 2, each with its loss, the experiment's own first."""

    points: list[Point]
    losses: list[nn.Module]
    rates: list[float]  # lr of each, of the stage's own
    lr_factors: list[float]
    weight_decays: list[float]
    select: str | None


@dataclass
class CrossFit:
    """Training rows are held out in turn: what trains the stages, and the grid, on other rows.

    Attributes:
        folds: How many parts, >= 2.
        parts: ``data -> stages, grid``, built anew.
    """

    folds: int
    parts: Callable[[Data], "tuple[list[Stage], Grid | None]"]


@dataclass
class OfFeatures:
    """Resampling of stage 1's features, on which stage 2 is trained in the place of images."""

    resample: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    parts: Callable[[Data], tuple[EpochSampler, nn.Module]]  # sampler and loss for the classes' new sizes


@dataclass
class Stage:
    """One stage: what is trained, what it draws, and where its checkpoint lies.

    Attributes:
        name: ``"stage1"`` or ``"stage2"``.
        module: Backbone, classifier, loss, optimizer, schedule and number of epochs.
        sampler: Of its batches.
        data: What it is trained on.
        ckpt_path: Of the finished stage.
        augment: Of its batches; None for none.
        partner: Sampler of the images that the augmentation mixes in.
        given: Whether the checkpoint is another run's.
        method: Settings that decide its weights, flat; empty where no checkpoint is ever given for it.
        loss_settings: Of its loss, for the figure of the smoothing factor.
        before: Stage 1's classifier, from which stage 2's is made.
        of_features: Resampling of the features.
    """

    name: str
    module: StageModule
    sampler: EpochSampler
    data: Data
    ckpt_path: Path
    augment: BatchAugment | None = None
    partner: EpochSampler | None = None
    given: bool = False
    method: dict[str, Any] = field(default_factory=dict)
    loss_settings: dict[str, Any] = field(default_factory=dict)
    before: nn.Module | None = None
    of_features: OfFeatures | None = None

    @property
    def part_path(self) -> Path:
        """Of the file that a killed stage goes on from."""
        return self.ckpt_path.with_suffix(".part.ckpt")


@dataclass
class Posthoc:
    """How finished stages are calibrated: a calibrator's class, and its settings as a file keeps them."""

    make: Callable[[int], Calibrator]
    method: str
    settings: dict[str, Any]


@dataclass
class Job:
    """All that a run does, built and checked before anything trains.

    Attributes:
        record: What results.json says beside the numbers.
        folder: The run's.
        config: The composed settings, as YAML.
        data: With its splits.
        stages: In their order.
        trainer: On what it trains.
        metrics: Name -> function.
        logger: Takes rows and results.
        made_by: What may change weights without any setting: torch, device, sources.
        cache_root: Of the store of finished stages 1; None leaves it alone.
        cache_settings: What decides stage 1's weights, by which the store names its entries.
        posthoc: None calibrates nothing.
        sets: Of prediction sets ``method``, ``alpha`` and perhaps ``weight``; empty for none.
        grid: None for the experiment's own settings alone.
        figures: Whether they are drawn.
        predictions: Type of the logits that are kept.
        cross_fit: None holds no training rows out in turn.
        folds: What came of that, :func:`lt_calib.job.cross_fit.fit_folds`.
    """

    record: dict[str, Any]
    folder: Path
    config: str
    data: Data
    stages: list[Stage]
    trainer: TrainerSettings
    metrics: Metrics
    logger: Logger
    made_by: dict[str, str]
    cache_root: Path | None
    cache_settings: dict[str, Any]
    posthoc: Posthoc | None = None
    grid: Grid | None = None
    figures: bool = True
    predictions: str = "float32"
    cross_fit: CrossFit | None = None
    folds: list[Any] = field(default_factory=list)
    sets: dict[str, Any] = field(default_factory=dict)
