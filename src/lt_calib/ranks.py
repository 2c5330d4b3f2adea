"""One training over several processes: which of them this one is, and how the others are started.

``python -m lt_calib.run trainer=ddp ...`` is the first process (rank 0) and starts the others itself, for as long as
it trains; under torchrun and srun they are there already, each with the same command. All of them train; only rank 0
evaluates, writes and speaks.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lt_calib.errors import InputError

log = logging.getLogger("lt_calib.run")

READY = "LT_CALIB_READY"  # the file descriptor that a process started here writes a byte to when it has built all
LAST_WORDS = 2000  # characters of a failed process's stderr that are shown


def processes(cfg: DictConfig) -> int:
    """Return how many processes train together: ``trainer.devices`` times ``trainer.num_nodes``.

    Raises:
        InputError: one of them is no whole number >= 1.
    """
    asked = {key: cfg.trainer.get(key, 1) for key in ("devices", "num_nodes")}
    for key, value in asked.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"trainer.{key}={value} must be a whole number >= 1")
    return asked["devices"] * asked["num_nodes"]


def position() -> tuple[int, int]:
    """Return rank and number of processes as torchrun or srun have set them; (0, 1) for a process by itself."""
    env = os.environ
    if "RANK" in env and "WORLD_SIZE" in env:
        return int(env["RANK"]), int(env["WORLD_SIZE"])
    if "SLURM_STEP_NUM_TASKS" in env and "SLURM_PROCID" in env:  # set for what srun starts, not for a batch script
        return int(env["SLURM_PROCID"]), int(env["SLURM_STEP_NUM_TASKS"])
    return 0, 1


def rank() -> int:
    """Return this process's number, 0-based."""
    return position()[0]


def quiet() -> None:
    """Take screen and run.log from a process that is not the first."""
    for name in (None, "lt_calib"):
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
    logging.getLogger("lt_calib").addHandler(logging.NullHandler())


@contextmanager
def together(cfg: DictConfig, folder: Path) -> Iterator[None]:
    """Have the other processes of this training beside the body.

    Args:
        cfg: The composed configuration, resolved.
        folder: The run's.

    Raises:
        InputError: torchrun or srun have started another number than is asked for, or one of them has failed.
    """
    wanted, (_, there) = processes(cfg), position()
    if there not in (1, wanted):
        raise InputError(
            f"{there} processes were started, and trainer.devices x trainer.num_nodes is {wanted}: set trainer=ddp "
            f"(on CPUs ddp_cpu), trainer.devices=DEVICES_A_MACHINE and trainer.num_nodes=MACHINES so that they agree"
        )
    if there == wanted:
        if READY in os.environ:
            os.write(int(os.environ[READY]), b".")
        yield
        return
    if cfg.trainer.get("num_nodes", 1) > 1:
        raise InputError(
            f"trainer.num_nodes={cfg.trainer.num_nodes}: one command cannot reach other machines; give it to torchrun "
            "or srun, which start it on each of them"
        )
    import torch
    from lightning.fabric.plugins.environments.lightning import find_free_network_port

    threads = torch.get_num_threads()
    each = max(1, threads // wanted)
    shared = {"WORLD_SIZE": str(wanted), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port())}
    before = dict(os.environ)
    with tempfile.TemporaryFile() as words:
        others: list[subprocess.Popen] = []
        readies: list[int] = []
        try:
            for number in range(1, wanted):
                environment = shared | {"OMP_NUM_THREADS": str(each), "RANK": str(number), "LOCAL_RANK": str(number)}
                other, ready = _start(environment, cfg, folder, words)
                others.append(other)
                readies.append(ready)
            os.environ.update(shared, RANK="0", LOCAL_RANK="0")
            torch.set_num_threads(each)
            if not all(os.read(ready, 1) for ready in readies):  # nothing is read from one that has ended
                raise RuntimeError("a process has ended before the training began")
            yield
            for other in others:
                with suppress(subprocess.TimeoutExpired):  # all is trained: it is ended below
                    other.wait(timeout=30)
        except RuntimeError as error:  # a collective operation raises it when another process is gone
            with suppress(subprocess.TimeoutExpired):
                others[0].wait(timeout=5)
            failed = [(r, p.poll()) for r, p in enumerate(others, 1) if p.poll()]
            if not failed:
                raise
            words.seek(0)
            said = words.read().decode(errors="replace").strip()[-LAST_WORDS:]
            raise InputError(
                f"process {failed[0][0]} of {wanted} ended with exit code {failed[0][1]}, and the training with it; "
                "with resume=auto, the default, the same command goes on after the last finished epoch. It said:\n"
                f"{said or '(nothing)'}"
            ) from error
        finally:
            for other in others:
                other.kill()  # it writes nothing that could be torn
                other.wait()
            for ready in readies:
                os.close(ready)
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
            torch.set_num_threads(threads)
            for key in {*shared, "RANK", "LOCAL_RANK"}:
                os.environ.pop(key, None)
                if key in before:
                    os.environ[key] = before[key]


def _start(environment: dict[str, str], cfg: DictConfig, folder: Path, words: Any) -> tuple[subprocess.Popen, int]:
    ready, theirs = os.pipe()
    other = subprocess.Popen(
        [sys.executable, "-m", "lt_calib.ranks", str(folder)],
        env=os.environ | environment | {READY: str(theirs)},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=words,
        pass_fds=[theirs],
    )
    os.close(theirs)  # so that it is closed when the process ends
    assert other.stdin is not None
    other.stdin.write(json.dumps(OmegaConf.to_yaml(cfg)).encode() + b"\n")
    other.stdin.flush()  # and stays open: its end is the first process's
    return other, ready


def main() -> None:
    """Be another process of a training: the configuration is the first line of the standard input."""
    from lt_calib.config import register
    from lt_calib.run import run

    cfg: Any = OmegaConf.create(json.loads(sys.stdin.readline()))  # YAML in a JSON string: one line

    def end_with_the_first() -> None:
        sys.stdin.read()
        os._exit(1)

    threading.Thread(target=end_with_the_first, daemon=True).start()
    register()
    try:
        run(cfg, Path(sys.argv[1]))
        code = 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)  # what is registered at exit would wait for the other processes, which need not come


if __name__ == "__main__":
    main()
