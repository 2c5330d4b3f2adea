"""The job that is measured: CIFAR-sized pictures of noise, so that no data set is needed."""

import copy
import tempfile
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from lt_calib.dataset.source import Source
from lt_calib.settings.schema import composed

# 2560 training pictures, 20 batches of 128; the test set is as large in proportion as CIFAR's.
CLASSES, A_CLASS, TEST = 10, 256, 2000
JOB = [
    "+experiment=cutmix_awabs", "dataset=cifar10_lt", "dataset.if=1", "dataset.source._target_=benchmarks.job.pictures",
    "dataset.name=pictures", "figures=false", "cache=off",
]  # fmt: skip


def pictures(root: str) -> Source:
    """Make pictures of noise."""
    draws = torch.Generator().manual_seed(0)

    def part(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.randint(256, (n, 32, 32, 3), dtype=torch.uint8, generator=draws)
        return images, torch.arange(n) % CLASSES

    return Source(*part(CLASSES * A_CLASS), *part(TEST), class_names=tuple(str(c) for c in range(CLASSES)))


def configuration(*overrides: str) -> DictConfig:
    """Compose the job."""
    return composed(*JOB, *overrides)


def run(cfg: DictConfig, stage1: Path | None = None) -> dict[str, Any]:
    """Run the job in a folder of its own, from a given stage 1 or its own; return results.json's content."""
    from lt_calib.run import run as run_job

    cfg = copy.deepcopy(cfg)
    cfg.stage1.ckpt_path = None if stage1 is None else str(stage1)
    with tempfile.TemporaryDirectory() as folder:
        return run_job(cfg, Path(folder))


def peak_mb() -> float:
    """Return this program's peak resident memory so far, MB; getrusage would count that of the process it came from."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
