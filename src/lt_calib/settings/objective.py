"""What ``hydra/sweeper=search`` may choose by: the held-out validation part, never the test set."""

import logging
import sys
from math import inf, isfinite
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from lt_calib.errors import InputError
from lt_calib.settings.check import make
from lt_calib.training.processes import position

log = logging.getLogger(__name__)


def is_search(hydra_config: Any) -> bool:
    """Say whether the command is a search by Optuna."""
    return "optuna" in str(hydra_config.sweeper.get("_target_"))


def objective(cfg: DictConfig, results: dict[str, Any], worst: float | None = None) -> float | None:
    """Return what a sweeper may search by: a metric of the last stage on the validation part, None without one.

    Args:
        cfg: The composed configuration.
        results: The content of results.json.
        worst: In a search, what a trial is worth whose metric is no finite number.
    """
    last = results.get("stage2") or results.get("stage1") or {}
    value = last.get("val", {}).get(cfg.objective)
    if worst is None or (value is not None and isfinite(value)):
        return value
    log.error("The trial counts as failed: its %s on the validation part is %s.", cfg.objective, value)
    return worst


def check_objective(cfg: DictConfig, direction: str) -> float:
    """Refuse a search without a validation part, by what is not measured or says nothing, or for the worst.

    Returns:
        What a failed trial is worth: the infinity on the bad side. Optuna's samplers learn from it, whereas they pass
        over a trial that they are told has failed, and would try its neighbors again.
    """
    from lt_calib.measure.evaluate import ways

    if position()[1] > 1:
        raise InputError(
            "hydra/sweeper=search under torchrun or srun: each process would search by itself; give the plain command, "
            "which starts the processes of each trial (trainer=ddp)"
        )
    tailed = bool(cfg.dataset.get("val_fraction")) or cfg.cross_fit != 0
    if not cfg.dataset.val_per_class and not tailed:
        raise InputError(
            "hydra/sweeper=search chooses by the held-out validation part, and there is none: set "
            "dataset.val_per_class=200 (20 for CIFAR-100), say, or with a frozen network cross_fit=5"
        )
    allowed = ways({name: make(cfg, f"metric.{name}") for name in cfg.metric or {}})
    if cfg.objective not in allowed:
        raise InputError(
            f"objective={cfg.objective} must be a metric that says which way it is better: {', '.join(allowed)}"
        )
    if tailed and not str(cfg.objective).endswith("_balanced"):
        balanced = [name for name in allowed if name.endswith("_balanced")]
        raise InputError(
            f"objective={cfg.objective} of a held-out part as long-tailed as the training images is that of their "
            f"frequent classes: take one in which each class weighs the same, {', '.join(balanced) or 'nll_balanced'}"
        )
    best = "maximize" if allowed[cfg.objective] == "higher" else "minimize"
    if direction != best:
        raise InputError(
            f"objective={cfg.objective} with hydra.sweeper.direction={direction} would choose the worst: set "
            f"hydra.sweeper.direction={best}"
        )
    return -inf if best == "maximize" else inf


class SearchEnd(Callback):
    """Hydra's callback that ends a search all of whose trials have failed: it has no best settings."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Look at what the search has found."""
        found = Path(config.hydra.sweep.dir) / "optimization_results.yaml"
        if is_search(config.hydra) and not isfinite(OmegaConf.load(found).best_value):
            found.unlink()
            print("All trials of the search have failed; error.txt in a trial's folder says why.", file=sys.stderr)
            raise SystemExit(1)  # Hydra warns of any other exception, and goes on
