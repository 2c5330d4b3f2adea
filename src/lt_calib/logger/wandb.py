"""Weights & Biases: one run for both stages of a job."""

import hashlib
import importlib
import logging
import netrc
import os
import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lt_calib.dataset.long_tail import factor_shown
from lt_calib.errors import InputError
from lt_calib.files.checkpoint import write_atomically

log = logging.getLogger(__name__)

HOSTS = {"api.wandb.ai", "api.forge.coreweave.com"}  # the service's, of older and newer versions of wandb
INIT_TIMEOUT = 20.0  # seconds; without a network the service would be waited for much longer
FINISH_TIMEOUT = 120.0  # seconds; what is not uploaded by then stays on disk, for wandb sync
ID_FILE = "wandb_id.txt"
NO_TEXT = "\x00-\x1f\x7f\ud800-\udfff"  # control characters, and what is no UTF-8
REFUSED = {  # characters, by what is named; the last is for all that has no rule of its own
    "artifact": "[^A-Za-z0-9_.-]+",
    "project": rf"[/\\#?%:{NO_TEXT}]+",
    "text": f"[{NO_TEXT}]+",
}
BEST = {"loss": "min", "val/acc": "max", "val/ece": "min", "val/nll": "min", "val/brier": "min"}


class WandbLogger:
    """Logs metrics under ``stage1/...`` and ``stage2/...``, tables, figures and checkpoints; never prompts.

    WANDB_MODE is honoured. Without an API key, or where the service does not answer, the run is offline and a line
    says how to upload it later. A job that is started again in its folder goes on in its own run.

    Args:
        config: The run's composed settings.
        folder: The run's folder; W&B's own files go into it.
        group: The experiment's name.
        tags: Data set, imbalance factor and augmentation.
        project: W&B project.
        entity: W&B entity; None means the account's own.
        checkpoints: Whether the stages' checkpoints are logged as artifacts.

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
        checkpoints: bool = True,
    ) -> None:
        try:
            self._wandb: Any = importlib.import_module("wandb")
        except ImportError as error:
            raise InputError("logger=wandb needs wandb: pip install 'lt_calib[wandb]', or take logger=none") from error
        wandb = self._wandb
        folder.mkdir(parents=True, exist_ok=True)
        self._checkpoints = checkpoints
        self._lost = False
        limits = {"init_timeout": INIT_TIMEOUT, "finish_timeout": FINISH_TIMEOUT, "finish_timeout_raises": True}
        known = getattr(wandb.Settings, "model_fields", limits)  # older versions have no limit of the end
        settings = wandb.Settings(silent=True, **{name: limit for name, limit in limits.items() if name in known})
        dataset = config["dataset"]
        run_id = _run_id(folder)

        def start(mode: str) -> Any:
            return wandb.init(
                project=accepted(project, "project"),
                entity=entity,
                name=accepted(
                    f"{config['name']} {dataset['name']} IF {factor_shown(dataset['if'])} seed {config['seed']}"
                ),
                id=run_id,
                # A resumed offline run cannot ask what was there before: its part is merged when it is uploaded.
                resume="allow" if mode == "online" else None,
                group=accepted(group),
                tags=[accepted(tag, limit=64) for tag in tags],
                job_type="train",
                config=dict(config),
                dir=str(folder),
                mode=mode,
                settings=settings,
            )

        mode = os.environ.get("WANDB_MODE") or "online"
        if mode == "online" and not has_key():
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
            epoch = f"stage{stage}/epoch"
            self._run.define_metric(epoch, hidden=True)
            self._run.define_metric(f"stage{stage}/*", step_metric=epoch)
            for name, best in BEST.items():  # "best" alone would drop the last value from the summary
                self._run.define_metric(f"stage{stage}/{name}", step_metric=epoch, summary=f"{best},last")

    def log_epoch(self, row: Mapping[str, Any]) -> bool:
        """Take a row of the history; False where W&B takes nothing any more."""
        prefix = f"stage{row['stage']}/"
        values = {f"{prefix}{_key(k)}": v for k, v in row.items() if k != "stage" and v is not None}
        self._safely(lambda: self._run.log(values))
        return not self._lost

    def log_results(self, results: Mapping[str, Any], figures: list[Path], checkpoints: Mapping[str, Path]) -> None:
        """Take the results of all stages, the paths of the figures, and each stage's checkpoint."""
        self._safely(lambda: self._log_results(results, figures, checkpoints))

    def finish(self, exit_code: int) -> None:
        """Close the run; 0 means that the job succeeded."""
        self._safely(lambda: self._run.finish(exit_code=exit_code))
        if self._lost:
            # W&B's own process may be dead or stuck: without it, the next job of a multirun starts another.
            with suppress(Exception):
                self._wandb.teardown(exit_code)

    def _safely(self, call: Callable[[], None]) -> None:
        """Call W&B; whatever it raises ends its part in the run, and not the run."""
        if self._lost:
            return
        try:
            call()
        except Exception as error:
            self._lost = True
            log.warning(
                "W&B takes nothing any more (%s: %s); the run goes on without it, and its folder has everything.",
                type(error).__name__,
                (str(error) or "no message").splitlines()[0],
            )

    def _log_results(self, results: Mapping[str, Any], figures: list[Path], checkpoints: Mapping[str, Path]) -> None:
        counts = results["dataset"]["class_counts"]
        for stage in (s for s in ("stage1", "stage2") if results[s]):
            self._summarise(f"{stage}/test", results[stage]["test"])
            if results["calibrated"]:
                self._summarise(f"{stage}/calibrated", results["calibrated"][stage]["test"])
            classes = results[stage]["test_per_class"]
            columns = ["class", "training pictures", *classes]
            rows = [[c, counts[c], *(values[c] for values in classes.values())] for c in range(len(counts))]
            self._run.log({f"{stage}/classes": self._wandb.Table(columns=columns, data=rows)})
        self._run.log({f"figures/{path.stem}": self._wandb.Image(str(path)) for path in figures})
        if self._checkpoints:
            self._log_checkpoints(results["name"], checkpoints)

    def _summarise(self, prefix: str, values: Mapping[str, float | None]) -> None:
        self._run.summary.update({f"{prefix}/{k}": v for k, v in values.items() if v is not None})

    def _log_checkpoints(self, name: str, checkpoints: Mapping[str, Path]) -> None:
        # use_artifact needs the service; so stage 2's lineage is in its metadata and in the run's config too.
        parent: dict[str, str] = {}
        for stage, path in checkpoints.items():
            about = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            metadata = {**about, "stage1": parent} if parent else about
            named = f"{accepted(name, 'artifact', limit=100)}-{stage}-{self._run.id}"
            artifact = self._wandb.Artifact(named, type="model", metadata=metadata)
            artifact.add_file(str(path))
            self._run.log_artifact(artifact)
            parent = parent or about
        self._run.config.update({"stage1_checkpoint": parent}, allow_val_change=True)


def _run_id(folder: Path) -> str:
    path = folder / ID_FILE
    kept = path.read_text().strip() if path.exists() else ""
    if not kept:
        kept = uuid.uuid4().hex[:12]
        write_atomically(path, lambda stream: stream.write(kept.encode()))
    return kept


def accepted(name: str, kind: str = "text", limit: int = 128) -> str:
    """Turn a name into one that the service takes; one that it takes stays as it is.

    Args:
        name: Any text.
        kind: A key of ``REFUSED``.
        limit: Characters that it may have, > 8.

    Returns:
        What is refused is replaced, and what is too long cut; a hash of the whole name then tells it from others.
    """
    changed = re.sub(REFUSED[kind], "-", name.strip())
    if changed == name and 0 < len(name) <= limit:
        return name
    own = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{changed[: limit - 9].strip('- ')}-{own}".lstrip("-")


def _key(name: str) -> str:
    return "val/" + name.removeprefix("val_") if name.startswith("val_") else name


def has_key() -> bool:
    """Say whether there is an API key for the service, in the environment or in netrc."""
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
