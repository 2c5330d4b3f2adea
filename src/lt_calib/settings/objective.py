"""What ``hydra/sweeper=search`` may choose by: the held-out validation part, never the test set."""

from typing import Any

from omegaconf import DictConfig

from lt_calib.errors import InputError
from lt_calib.settings.check import make
from lt_calib.training.processes import position


def objective(cfg: DictConfig, results: dict[str, Any]) -> float | None:
    """Return what a sweeper may search by: a metric of the last stage on the validation part, None without one."""
    last = results.get("stage2") or results.get("stage1") or {}
    return last.get("val", {}).get(cfg.objective)


def check_objective(cfg: DictConfig, direction: str) -> None:
    """Refuse a search without a validation part, by what is not measured or says nothing, or for the worst."""
    from lt_calib.measure.evaluate import ways

    if position()[1] > 1:
        raise InputError(
            "hydra/sweeper=search under torchrun or srun: each process would search by itself; give the plain command, "
            "which starts the processes of each trial (trainer=ddp)"
        )
    if not cfg.dataset.val_per_class:
        raise InputError(
            "hydra/sweeper=search chooses by the held-out validation part, and there is none: set "
            "dataset.val_per_class=200 (20 for CIFAR-100), say"
        )
    allowed = ways({name: make(cfg, f"metric.{name}") for name in cfg.metric})
    if cfg.objective not in allowed:
        raise InputError(
            f"objective={cfg.objective} must be a metric that says which way it is better: {', '.join(allowed)}"
        )
    best = "maximize" if allowed[cfg.objective] == "higher" else "minimize"
    if direction != best:
        raise InputError(
            f"objective={cfg.objective} with hydra.sweeper.direction={direction} would choose the worst: set "
            f"hydra.sweeper.direction={best}"
        )
