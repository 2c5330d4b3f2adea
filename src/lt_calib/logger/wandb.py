"""Weights & Biases: one run for both stages of a job."""

import importlib
import logging
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lt_calib.errors import InputError

log = logging.getLogger(__name__)

HOSTS = {"api.wandb.ai", "api.forge.coreweave.com"}  # the service's, of older and newer versions of wandb
INIT_TIMEOUT = 20.0  # seconds; without a network the service would be waited for much longer


class WandbLogger:
    """Logs metrics under ``stage1/...`` and ``stage2/...``, and the figures; never prompts.

    WANDB_MODE is honoured. Without an API key, or where the service does not answer, the run is offline and a line
    says how to upload it later.

    Args:
        config: The run's composed settings.
        folder: The run's folder; W&B's own files go into it.
        group: The experiment's name.
        tags: Data set, imbalance factor and augmentation.
        project: W&B project.
        entity: W&B entity; None means the account's own.

    Raises:
        InputError: wandb is not installed.
    """

    def __init__(
        self,
        *,
        config: Mapping[str, Any],
        folder: Path,
        group: str,
        tags: list[str],
        project: str = "lt_calib",
        entity: str | None = None,
    ) -> None:
        try:
            self._wandb: Any = importlib.import_module("wandb")
        except ImportError as error:
            raise InputError("logger=wandb needs wandb: pip install wandb, or take logger=none") from error
        wandb = self._wandb
        folder.mkdir(parents=True, exist_ok=True)

        dataset = config["dataset"]

        def start(mode: str) -> Any:
            return wandb.init(
                project=project,
                entity=entity,
                name=f"{config['name']} {dataset['name']} IF {dataset['if']:g} seed {config['seed']}",
                group=group,
                tags=tags,
                job_type="train",
                config=dict(config),
                dir=str(folder),
                mode=mode,
                settings=wandb.Settings(silent=True, init_timeout=INIT_TIMEOUT),
            )

        mode = os.environ.get("WANDB_MODE") or "online"
        if mode == "online" and not _has_key():
            mode = "offline"  # online, wandb would prompt for a key
        try:
            self._run = start(mode)
        except (wandb.errors.CommError, wandb.errors.UsageError) as error:
            log.warning("W&B does not answer (%s); going on offline.", str(error).splitlines()[0])
            mode = "offline"
            self._run = start(mode)
        if mode == "offline":
            log.info("W&B is offline; upload later with: wandb sync %s", Path(self._run.dir).parent)
        for stage in (1, 2):
            self._run.define_metric(f"stage{stage}/epoch", hidden=True)
            self._run.define_metric(f"stage{stage}/*", step_metric=f"stage{stage}/epoch")

    def log_epoch(self, row: Mapping[str, Any]) -> None:
        """Take a row of the history."""
        prefix = f"stage{row['stage']}/"
        self._run.log({f"{prefix}{_key(k)}": v for k, v in row.items() if k != "stage" and v is not None})

    def log_results(self, results: Mapping[str, Any], figures: list[Path]) -> None:
        """Take the results of all stages (into the run's summary) and the paths of the figures."""
        for stage in ("stage1", "stage2"):
            if results[stage]:
                test = results[stage]["test"]
                self._run.summary.update({f"{stage}/test/{k}": v for k, v in test.items() if v is not None})
        self._run.log({f"figures/{path.stem}": self._wandb.Image(str(path)) for path in figures})

    def finish(self, exit_code: int) -> None:
        """Close the run; 0 means that the job succeeded."""
        self._run.finish(exit_code=exit_code)


def _key(name: str) -> str:
    return "val/" + name.removeprefix("val_") if name.startswith("val_") else name


def _has_key() -> bool:
    # Read here, since what wandb offers for it differs between its versions, and may prompt.
    if os.environ.get("WANDB_API_KEY"):
        return True
    given = urlparse(os.environ.get("WANDB_BASE_URL", "")).hostname
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        known = netrc.netrc(path).hosts
        return bool(set(known) & ({given} if given else HOSTS))
    except (OSError, netrc.NetrcParseError):
        return False
