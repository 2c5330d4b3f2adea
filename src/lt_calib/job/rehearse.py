"""Try what comes after the training before it: metrics, calibrator and table, on made-up predictions."""

import io
import json
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from lt_calib.errors import InputError
from lt_calib.job.fit import training_images
from lt_calib.job.parts import Job
from lt_calib.job.screen import print_table
from lt_calib.measure.evaluate import evaluate

MOST = 500  # classes that are predicted


def rehearse(job: Job) -> None:
    """Measure, calibrate and print made-up predictions as the real ones will be, and keep nothing of it.

    Figures take seconds and are not tried: they draw whatever is measured, and one that fails costs itself alone.

    Raises:
        InputError: nothing is measured, or a part fails; it is named.
    """
    if not job.metrics:
        raise InputError("metric=[]: nothing would be measured; name some, metric=[acc,ece,nll] say")
    logits, targets = made_up(job.data.num_classes)
    measured: dict[str, float | None] = {}
    for name, metric in job.metrics.items():
        with named(f"metric.{name}"):
            measured |= evaluate(logits, targets, job.data.groups, {name: metric})
    found = {}
    if job.posthoc is not None:
        with named("posthoc"):
            calibrator = job.posthoc.make(job.data.num_classes).fit(logits, targets)
            log_probs = calibrator(logits).clamp(min=torch.finfo(torch.float32).tiny).log()
            test = evaluate(log_probs, targets, job.data.groups, job.metrics)
            found["stage1"] = {"method": job.posthoc.method, "parameters": calibrator.settings(), "test": test}
            json.dumps(found, allow_nan=False)
    stages: dict[str, Any] = {stage.name: {"epochs": 0, "test": measured} for stage in job.stages}
    with named("the table"):
        results = {"stage1": None, "stage2": None, "calibrated": found, **job.record, **stages}
        print_table(results, Console(file=io.StringIO()))
    if job.figures:
        with named("the sheet of training images (figures=false draws none)"):
            training_images(job.stages[0])


def made_up(num_classes: int) -> tuple[Tensor, Tensor]:
    """Make predictions of a calibrated model, to which every calibrator is fitted at once.

    Each predicted class has 2/3, the one before it 1/3; of its three images two are of the former, one of the latter.

    Returns:
        Logits (N, K) float32 and targets (N,) int64.
    """
    m = min(num_classes, MOST)
    first = torch.arange(m) * num_classes // m
    second = first.roll(1)
    logits = torch.full((m, num_classes), -12.0)
    rows = torch.arange(m)
    logits[rows, second] = 12.0
    logits[rows, first] = 12.0 + math.log(2)
    return logits.repeat(3, 1), torch.cat([first, first, second])


@contextmanager
def named(part: str) -> Iterator[None]:
    """Name the part that fails, and silence what one says of made-up predictions: it is nothing about the run."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():  # its action= is of Python 3.11
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        raise InputError(f"{part} fails on made-up predictions, before anything trains: {error}") from error
    finally:
        logging.disable(before)
