"""One training over several processes: which of them this one is.

``python -m lt_calib.run trainer=ddp ...`` starts them itself, one per device, for as long as it trains
(:mod:`lt_calib.worker`); under torchrun and srun they are there already, each with the same command. All of them train;
only rank 0 evaluates, writes and speaks.
"""

import logging
import os

from lt_calib.errors import InputError


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


def refuse_other_number(devices: int, num_nodes: int) -> None:
    """Refuse a number of processes that is not there and cannot be started.

    Raises:
        InputError: torchrun or srun have started another number, or other machines would be needed.
    """
    wanted, there = devices * num_nodes, position()[1]
    if there not in (1, wanted):
        raise InputError(
            f"{there} processes were started, and trainer.devices x trainer.num_nodes is {wanted}: set trainer=ddp "
            "(on CPUs ddp_cpu), trainer.devices=DEVICES_A_MACHINE and trainer.num_nodes=MACHINES so that they agree"
        )
    if there == 1 and num_nodes > 1:
        raise InputError(
            f"trainer.num_nodes={num_nodes}: one command cannot reach other machines; give it to torchrun or srun, "
            "which start it on each of them"
        )
