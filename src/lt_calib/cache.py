"""A store of finished stages 1, so that jobs whose stage 1 has the same settings train it once.

``python -m lt_calib.cache ls | verify | rm KEY... | rm --all``
"""

import argparse
import functools
import hashlib
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lt_calib.checkpoint import read_checkpoint, remove_remains, write_atomically
from lt_calib.errors import InputError
from lt_calib.ranks import position, processes

log = logging.getLogger("lt_calib.cache")

PACKAGE = Path(__file__).parent
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
    """Name what may change the last digits of a stage's weights without any setting: torch, device and sources."""
    import torch

    on_gpu = torch.cuda.is_available() and cfg.trainer.accelerator in ("auto", "gpu", "cuda")
    return {
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "sources": sources_of_this_process(),
    }


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


def key_of(settings: dict[str, Any]) -> str:
    """Name the entry of these settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


@contextmanager
def shared_stage1(cfg: DictConfig, data: Any, path: Path) -> Iterator[None]:
    """Put the entry of these settings at ``path``, or keep what the body puts there.

    While a job is inside, another one with the same settings waits at the door, and then finds the entry. The lock is
    the operating system's, so that a killed job's is free. Processes that torchrun or srun have started leave the cache
    alone: they are all there already, and the others would begin while the first still waits.

    Args:
        cfg: The composed configuration; ``cache.root`` null, a given stage 1 or no epochs: the cache is left alone.
        data: The data module, set up.
        path: Of the job's own checkpoint of stage 1. Where it is there already, of a job that was killed later, it
            becomes the entry if there is none.
    """
    from filelock import FileLock, Timeout

    root = cfg.cache.root
    if root is None or cfg.stage1.ckpt_path or not cfg.stage1.max_epochs:
        yield
        return
    if position()[1] > 1:
        log.info("torchrun or srun has started the processes: the cache of stage 1 is left alone.")
        yield
        return
    settings = settings_of(cfg, data)
    folder = Path(root).expanduser()
    key = key_of(settings)
    lock = FileLock(folder / f"{key}.lock")
    there = path.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(Timeout):
            lock.acquire(timeout=0)
        if not (lock.is_locked or there):
            log.info("Another job trains this very stage 1 (cache entry %s); this one waits for it.", key)
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        log.warning("The cache of stage 1 at %s cannot be used (%s): this job trains its own.", folder, error)
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
    if checksum_of_sources(PACKAGE) != here["sources"]:
        log.warning("The package's sources have changed since this process began: stage 1 is not kept in the cache.")
    elif read_checkpoint(path).get("made_by") != [here]:
        log.info("Stage 1 was trained by another torch, device or package than this: it is not kept in the cache.")
    else:
        store(folder, key, path, settings)


def fetch(folder: Path, key: str, path: Path) -> None:
    """Copy an entry to ``path`` if it is there and sound; a damaged one is removed."""
    if not (folder / f"{key}.json").exists():
        return
    content = read(folder, key)
    if content is None:
        log.warning("The cache's entry %s is damaged: it is removed, and stage 1 trained again.", key)
        remove(folder, key)
        return
    write_atomically(path, lambda stream: stream.write(content))
    path.with_suffix(".part.ckpt").unlink(missing_ok=True)  # of this job's own stage 1, which was killed
    log.info("Stage 1 has been trained with these settings: it is taken from the cache, entry %s.", key)


def store(folder: Path, key: str, path: Path, settings: dict[str, Any]) -> None:
    """Copy a checkpoint into the cache; its .json, written last, makes it an entry."""
    content = path.read_bytes()
    about = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "settings": settings,
    }
    remove_remains(folder, f"{key}.")
    try:
        write_atomically(folder / f"{key}.ckpt", lambda stream: stream.write(content))
        text = json.dumps(about, indent=2) + "\n"
        write_atomically(folder / f"{key}.json", lambda stream: stream.write(text.encode()))
    except (OSError, InputError) as error:
        log.warning("Stage 1 could not be kept in the cache: %s", error)


def read(folder: Path, key: str) -> bytes | None:
    """Read an entry's checkpoint; None where it has not the checksum that was kept with it."""
    try:
        about = json.loads((folder / f"{key}.json").read_text())
        content = (folder / f"{key}.ckpt").read_bytes()
        return content if hashlib.sha256(content).hexdigest() == about["sha256"] else None
    except (OSError, ValueError, KeyError):
        return None


def remove(folder: Path, key: str) -> None:
    """Remove an entry; the .json first, so that no half entry is ever taken for one."""
    for suffix in ("json", "ckpt"):
        (folder / f"{key}.{suffix}").unlink(missing_ok=True)
    remove_remains(folder, f"{key}.")


def keys(folder: Path) -> list[str]:
    """List the entries."""
    return sorted(path.stem for path in folder.glob("*.json"))


def describe(folder: Path, key: str) -> str:
    """Say in one line what an entry is."""
    try:
        about = json.loads((folder / f"{key}.json").read_text())
        s = about["settings"]
        augment = (s["augment"] or {}).get("_target_", "none").split(".")[-1]
        what = f"{s['dataset']['name']} IF {s['dataset']['if']:g}, {s['stage1']['max_epochs']} epochs, {augment}"
        loss = s["stage1"]["loss"]["_target_"].split(".")[-1]
        return f"{key}  {about['made']}  {about['bytes'] / 1e6:.1f} MB  {what}, {loss}, seed {s['seed']}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"{key}  damaged"


def main() -> None:
    """Run the command."""
    from hydra import compose, initialize_config_dir

    from lt_calib.config import conf_dir, register

    parser = argparse.ArgumentParser(prog="python -m lt_calib.cache", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, help="the cache's folder; default: that of conf/cache/on.yaml")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ls", help="list the entries")
    commands.add_parser("verify", help="check every entry's checksum; exit 1 if one is damaged")
    rm = commands.add_parser("rm", help="remove entries")
    rm.add_argument("keys", nargs="*", metavar="KEY")
    rm.add_argument("--all", action="store_true", help="all of them")
    args = parser.parse_args()
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        folder = (args.root or Path(compose("config").cache.root)).expanduser()
    there = keys(folder)
    if args.command == "ls":
        print("\n".join(describe(folder, key) for key in there) or f"{folder} has no entry")
    elif args.command == "verify":
        damaged = [key for key in there if read(folder, key) is None]
        print("\n".join([f"{len(there)} entries, {len(damaged)} damaged", *damaged]))
        sys.exit(1 if damaged else 0)
    else:
        wanted = there if args.all else args.keys
        unknown = sorted(set(wanted) - set(there))
        if unknown or not (wanted or args.all):
            sys.exit(f"no such entry: {', '.join(unknown)}" if unknown else "say which KEY, or --all")
        for key in wanted:
            remove(folder, key)
        print(f"{len(wanted)} entries removed from {folder}")


if __name__ == "__main__":
    main()
