"""What ``hydra/sweeper=search`` may choose by: the held-out validation part, never the test set."""

from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from lt_calib import ranks
from lt_calib.errors import InputError

HIGHER_IS_BETTER = ("acc", "brier_split_resolution")
# Signed, of the labels alone, or of the confidences alone.
NO_OBJECTIVE = ("overconf", "brier_split_uncertainty", "ece_floor")


def objective(cfg: DictConfig, results: dict[str, Any]) -> float | None:
    """Return what a sweeper may search by: a metric of the last stage on the validation part, None without one."""
    last = results.get("stage2") or results.get("stage1") or {}
    return last.get("val", {}).get(cfg.objective)


def check_objective(cfg: DictConfig, direction: str) -> None:
    """Refuse a search without a validation part, by what is not measured or says nothing, or for the worst."""
    import torch

    from lt_calib.metric.evaluate import evaluate

    if ranks.position()[1] > 1:
        raise InputError(
            "hydra/sweeper=search under torchrun or srun: each process would search by itself; give the plain command, "
            "which starts the processes of each trial (trainer=ddp)"
        )
    if not cfg.dataset.val_per_class:
        raise InputError(
            "hydra/sweeper=search chooses by the held-out validation part, and there is none: set "
            "dataset.val_per_class=200 (20 for CIFAR-100), say"
        )
    groups = {"head": [0], "medium": [0], "tail": [0]}
    measured = evaluate(torch.zeros(10, 10), torch.arange(10), groups, instantiate(cfg.metric))
    allowed = [name for name in measured if not name.startswith(NO_OBJECTIVE)]
    if cfg.objective not in allowed:
        raise InputError(f"objective={cfg.objective} must be one of the metrics to search by: {', '.join(allowed)}")
    best = "maximize" if cfg.objective.startswith(HIGHER_IS_BETTER) else "minimize"
    if direction != best:
        raise InputError(
            f"objective={cfg.objective} with hydra.sweeper.direction={direction} would choose the worst: set "
            f"hydra.sweeper.direction={best}"
        )
