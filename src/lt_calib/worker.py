"""The other processes of a training: what each does, and how all of them are started."""

import logging
import re
import signal
import sys
import uuid
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lt_calib.errors import InputError


def train_together(folder: Path, processes: int) -> None:
    """Train what the run in ``folder`` has not trained yet by several processes, and wait for them.

    Raises:
        InputError: one of them has failed; with what it said.
    """
    import torch
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=processes, run_id=uuid.uuid4().hex, rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0", local_addr="127.0.0.1", max_restarts=0, start_method="spawn",
    )  # fmt: skip
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    level = logging.getLogger("torch.distributed.elastic").level
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # what failed is said below, once
    try:
        elastic_launch(config, train)(str(folder), max(1, torch.get_num_threads() // processes))
    except SignalException as stop:
        if stop.sigval == signal.SIGINT:
            raise KeyboardInterrupt from stop
        raise SystemExit(128 + stop.sigval) from stop
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        said = re.sub(r"^(\w+\.)*\w*(Error|Exception): ", "", failure.message)
        if failure.exitcode < 0 or "exited with" in said or not said:
            said = (
                f"process {number} of {processes} ended with exit code {failure.exitcode}, and the training with it; "
                "with resume=auto, the default, the same command resumes after the last finished epoch"
            )
        raise InputError(said) from None
    finally:
        logging.getLogger("torch.distributed.elastic").setLevel(level)
        for number, handler in handlers.items():  # torch's launcher sets its own and leaves them
            signal.signal(number, handler)


def train(folder: str, threads: int) -> None:
    """Train what the run in ``folder`` has not trained yet, as one of the processes that share it.

    Args:
        folder: The run's, with its config.yaml.
        threads: Of this process, >= 1.
    """
    import torch

    from lt_calib.job.build import build
    from lt_calib.job.step import fit_or_load
    from lt_calib.training.processes import quiet, rank

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which comes when the first process is gone: nothing is torn by it
    torch.set_num_threads(threads)
    if rank() == 0:
        handlers = [logging.StreamHandler(sys.stdout), logging.FileHandler(Path(folder) / "run.log")]
        logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=handlers)
    else:
        quiet()
    cfg: Any = OmegaConf.load(Path(folder) / "config.yaml")
    cfg.logger, cfg.cache.root = {"_target_": "lt_calib.logger.none.NoLogger"}, None  # the first process has both
    job = build(cfg, Path(folder))
    for stage in job.stages:
        fit_or_load(job, stage)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
