"""One stage 1 for all jobs whose stage 1 has the same settings."""

import functools
import hashlib
import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from lt_calib.cache.entry import fetch, key_of, store
from lt_calib.checkpoint import read_checkpoint
from lt_calib.config import flatten
from lt_calib.lock import system_lock
from lt_calib.ranks import position, processes

log = logging.getLogger("lt_calib.cache")

PACKAGE = Path(__file__).parents[1]
# What stage 1 runs; an edit of any of it makes other entries.
SOURCES = (
    "augment", "dataset", "loss", "metric", "model", "resample", "sampler", "stage", "build.py", "checkpoint.py",
    "fit.py", "run.py", "seed.py", "trainer.py",
)  # fmt: skip
# Settings of the data that change no weight; the last two change what is measured on a validation part.
WITHOUT_EFFECT = {"root", "recipe", "groups", "eval_batch_size"}


def settings_of(cfg: DictConfig, data: Any) -> dict[str, Any]:
    """Gather all that decides stage 1's weights, as plain values.

    Args:
        cfg: The composed configuration, resolved.
        data: The data module, set up: its training pictures are part of the settings by their checksum.
    """
    from lt_calib.trainer import resolve_precision

    plain: Any = OmegaConf.to_container(cfg)
    images, targets = data.splits["train"]
    pictures = hashlib.sha256(images.numpy().tobytes() + targets.numpy().tobytes()).hexdigest()
    trainer = plain["trainer"]
    settings = {
        "pictures": pictures,
        "dataset": {k: v for k, v in plain["dataset"].items() if k not in WITHOUT_EFFECT},
        "seed": plain["seed"],
        "model": plain["model"],
        "augment": plain["augment"],
        "stage1": {k: v for k, v in plain["stage1"].items() if k != "ckpt_path"},
        "precision": resolve_precision(trainer["precision"], trainer["accelerator"]),
        "compile": trainer["compile"],
        "processes": processes(cfg),  # each has its own part of a batch, and on CPUs its own batch statistics
        **made_by(cfg),
    }
    if "val" in data.splits:  # then history has its metrics
        settings |= {"metric": plain["metric"], "eval_every": trainer["eval_every"]}
        settings |= {"groups": plain["dataset"]["groups"], "eval_batch_size": plain["dataset"]["eval_batch_size"]}
    return settings


def made_by(cfg: DictConfig) -> dict[str, str]:
    """Name what may change a stage's weights without any setting: torch, device, sources, the files of own parts."""
    import torch

    on_gpu = torch.cuda.is_available() and cfg.trainer.accelerator in ("auto", "gpu", "cuda")
    return {
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "sources": sources_of_this_process(),
        **{target: source_of_this_process(target) for target in own_parts(cfg)},
    }


def own_parts(cfg: DictConfig) -> list[str]:
    """List the parts of stage 1 that are the user's own, by their ``_target_``: neither the package's nor torch's."""
    plain: Any = OmegaConf.to_container(cfg)
    parts = {part: plain.get(part) for part in ("model", "augment", "stage1", "dataset", "resample", "metric")}
    targets = {str(value) for key, value in flatten(parts).items() if key.split(".")[-1] == "_target_"}
    return sorted(target for target in targets if target.split(".")[0] not in ("lt_calib", "torch", "torchvision"))


@functools.cache
def source_of_this_process(target: str) -> str:
    """Hash the file of a user's own part once, as :func:`sources_of_this_process`."""
    return checksum_of_source(target)


def checksum_of_source(target: str) -> str:
    """Hash the file that defines ``target``; empty where that is no Python."""
    try:
        file = inspect.getsourcefile(get_object(target))
    except TypeError:
        file = None
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""


@functools.cache
def sources_of_this_process() -> str:
    """Hash the sources once, in a process's first job: whatever is edited later, its later jobs run these."""
    return checksum_of_sources(PACKAGE)


def checksum_of_sources(package: Path) -> str:
    """Hash the files that stage 1 runs, names and contents."""
    total = hashlib.sha256()
    for name in SOURCES:
        path = package / name
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            total.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes())
    return total.hexdigest()


@contextmanager
def shared_stage1(cfg: DictConfig, data: Any, path: Path) -> Iterator[None]:
    """Put the entry of these settings at ``path``, or keep what the body puts there.

    While a job is inside, another one with the same settings waits at the door, and then finds the entry. The lock is
    the operating system's, so that a killed job's is free. Processes that torchrun or srun have started leave the cache
    alone: they are all there already, and the others would begin while the first still waits.

    Args:
        cfg: The composed configuration; ``cache.root`` null or empty, a given stage 1, or no epochs: the cache is left
            alone.
        data: The data module, set up.
        path: Of the job's own checkpoint of stage 1. Where it is there already, of a job that was killed later, it
            becomes the entry if there is none.
    """
    from filelock import Timeout

    root = cfg.cache.root
    if not root or cfg.stage1.ckpt_path or not cfg.stage1.max_epochs:
        yield
        return
    if position()[1] > 1:
        log.info("torchrun or srun has started the processes: the cache of stage 1 is left alone.")
        yield
        return
    settings = settings_of(cfg, data)
    folder = Path(root).expanduser()
    key = key_of(settings)
    lock = system_lock(folder / f"{key}.lock")
    there = path.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(Timeout):
            lock.acquire(timeout=0)
        if not (lock.is_locked or there):
            log.info("Another job trains this very stage 1 (cache entry %s); this one waits for it.", key)
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        log.warning("The cache of stage 1 at %s cannot be written (%s): nothing is added to it.", folder, error)
        if not there:
            fetch(folder, key, path)
        yield
        return
    try:
        if not there:
            fetch(folder, key, path)
        yield
        if lock.is_locked and not (folder / f"{key}.json").exists():
            keep(folder, key, path, settings, made_by(cfg))
    finally:
        lock.release()


def keep(folder: Path, key: str, path: Path, settings: dict[str, Any], here: dict[str, str]) -> None:
    """Store a checkpoint, unless another torch, device or package has trained a part of it."""
    own = [name for name in here if name not in ("torch", "device", "sources")]
    if checksum_of_sources(PACKAGE) != here["sources"] or any(checksum_of_source(name) != here[name] for name in own):
        log.warning("The sources have changed since this process began: stage 1 is not kept in the cache.")
    elif read_checkpoint(path).get("made_by") != [here]:
        log.info("Stage 1 was trained by another torch, device or package than this: it is not kept in the cache.")
    else:
        store(folder, key, path, settings)
