"""Train one module in a stage's place, tell the logger of it, and compute predictions."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from lightning import Callback
from torch import Tensor, nn

from lt_calib.files.checkpoint import write_atomically
from lt_calib.job.parts import Job, Stage
from lt_calib.loss.base import labels_of
from lt_calib.measure.evaluate import evaluate
from lt_calib.model.standardize import Standardize
from lt_calib.seed import generator
from lt_calib.stage.base import Features, StageModule
from lt_calib.training.finite import StopAtNonFinite
from lt_calib.training.history import History
from lt_calib.training.processes import position, rank
from lt_calib.training.progress import ProgressLine
from lt_calib.training.resume import Resume
from lt_calib.training.sigterm import ExitAtSigterm
from lt_calib.training.statistics import ended_fast, renew_statistics
from lt_calib.training.trainer import TrainerSettings

TOLD = "told.json"  # which epochs the logger has been told; gone when the run is finished


def begin(job: Job, stage: Stage) -> None:
    """Give a stage what it takes from the one before: features, and the classes' sizes after their resampling."""
    standardize = stage.module.backbone
    if isinstance(standardize, Standardize) and stage.name == "stage1":
        standardize.fit(stage.data.raw("train"))
    prepare = getattr(stage.module.classifier, "prepare", None)
    if prepare is not None:
        prepare(stage.before, partial(features_of, job, stage))
    if stage.of_features is not None:
        found = features_of(job, stage, "train")
        assert found is not None
        stage.data = stage.data.with_train(*stage.of_features.resample(*found))
        stage.sampler, stage.module.loss = stage.of_features.parts(stage.data)
        stage.module.on_features = True  # type: ignore[assignment]
    stage.module.begin()


def fit(job: Job, stage: Stage, module: StageModule) -> dict[str, Any]:
    """Train a module in a stage's place, from the stage's part file where a killed process left one."""
    line = ProgressLine(module.stage)

    def tell_it(row: dict[str, Any]) -> None:
        if rank() == 0:
            tell(job, row)

    def report(row: dict[str, Any]) -> None:
        line.epoch(row)
        tell_it(row)

    history = History(module.stage, lambda z, y: evaluate(z, y, job.data.groups, job.metrics), report)
    resume = Resume(stage.part_path, history, job.made_by, tell_it)
    train(job.trainer, stage, module, [history, line], [resume])
    if module.stage == 1 and ended_fast([row["lr"] for row in history.rows]):
        batches = stage.data.loader("train", stage.sampler, device=job.trainer.device)
        batches.set_epoch(module.max_epochs)
        renew_statistics(module, batches, job.trainer.device)
        batches.close()
    return {
        "epochs": module.max_epochs,
        "seconds": history.seconds,
        "images_per_second": history.images_per_second,
        "history": history.rows,
        "data": job.data.facts,
        "made_by": resume.made_by,
        "stage": stage.name,
        "method": stage.method,
    }


def train(
    settings: TrainerSettings,
    stage: Stage,
    module: StageModule,
    before: Sequence[Callback] = (),
    after: Sequence[Callback] = (),
) -> None:
    """Train a module on a stage's data, as its sampler draws them; nothing where it has no epochs.

    Args:
        settings: Of the trainer.
        stage: Data, sampler and augmentation.
        module: What is trained.
        before: Callbacks that come before the augmentation.
        after: Callbacks that come when the weights are known to be finite.
    """
    if module.max_epochs == 0:
        return
    augment = [stage.augment] if stage.augment is not None else []
    trainer = settings.make(module.max_epochs, [*before, *augment, StopAtNonFinite(), *after, ExitAtSigterm()])
    device = trainer.strategy.root_device
    place = dict(zip(("rank", "world_size"), position() if settings.processes > 1 else (0, 1), strict=True))
    batches = stage.data.loader("train", stage.sampler, partner=stage.partner, device=device, **place)
    val = stage.data.loader("val", device=device, **place) if "val" in stage.data.splits else []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            trainer.fit(module, train_dataloaders=batches, val_dataloaders=val)
        finally:
            batches.close()


def tell(job: Job, row: Mapping[str, Any]) -> None:
    """Tell the logger of an epoch, but for one that it was told before the run was stopped and started again."""
    path = job.folder / TOLD
    told = json.loads(path.read_text()) if path.exists() else {}
    stage = f"{type(job.logger).__name__} {row['stage']}"
    if row["epoch"] > told.get(stage, 0) and job.logger.log_epoch(row) is not False:
        text = json.dumps(told | {stage: row["epoch"]})
        write_atomically(path, lambda stream: stream.write(text.encode()))


def predict(job: Job, stage: Stage) -> dict[str, tuple[Tensor, Tensor]]:
    """Compute logits and targets of the test set, and of the validation part where there is one."""
    return {s: _predicted(job, stage.module, s) for s in ("val", "test") if s in job.data.splits}


def features_of(job: Job, stage: Stage, split: str) -> tuple[Tensor, Tensor] | None:
    """Compute the features (N, D) and targets of a split, not augmented; None where there is no such split."""
    if split not in stage.data.splits:
        return None
    backbone: nn.Module = stage.module.backbone
    training = backbone.training
    found = _predicted(job, Features(backbone), split)
    backbone.train(training)
    return found


def _predicted(job: Job, module: Any, split: str) -> tuple[Tensor, Tensor]:
    loader = job.data.loader(split, device=job.trainer.device)
    batches: Any = job.trainer.make().predict(module, dataloaders=loader)
    logits, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return logits.cpu(), targets.cpu()


def training_images(stage: Stage, number: int = 24) -> tuple[Tensor, Tensor, tuple[str, ...]] | None:
    """Draw the first batch of stage 1 as the network sees it in the middle of training; None where it is no images.

    Returns:
        Images (B, H, W, C) float in [0, 1], targets (B, K), class names; of BBN's pairs the first image.
    """
    data, epoch = stage.data, stage.module.max_epochs // 2
    if data.num_features is not None:
        return None
    loader = data.loader("train", stage.sampler, partner=stage.partner)
    loader.set_epoch(epoch)
    batch = [x[:number] for x in next(iter(loader))]
    if stage.augment is not None:
        stage.augment.set_epoch(epoch)
        stage.augment.apply(batch, generator(stage.sampler.seed, "augment", stage=1, epoch=epoch))
    images, targets = batch[:2]
    return data.transform.undo(images[:, : data.image_shape[0]]), labels_of(targets, data.num_classes), data.class_names
