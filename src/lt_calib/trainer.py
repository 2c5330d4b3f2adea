"""The Lightning trainer of one stage."""

import logging
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import DDPStrategy
from torch import nn

from lt_calib.errors import InputError
from lt_calib.ranks import position

BF16 = "bf16-mixed"
PRECISIONS = ("auto", "32-true", BF16, "16-mixed")


def make_trainer(
    *,
    max_epochs: int,
    callbacks: list[Callback],
    accelerator: str = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    precision: str = "auto",
    eval_every: int = 1,
) -> Trainer:
    """Build a trainer that writes and logs nothing by itself.

    Args:
        max_epochs: >= 0; 0 evaluates, which every process does by itself.
        callbacks: Lightning callbacks.
        accelerator: As Lightning's: ``"auto"``, ``"cpu"``, ``"gpu"``, ...
        devices: Processes of a training on this machine, one a device; >= 1.
        num_nodes: Machines of a training, >= 1.
        precision: ``"32-true"``, ``"bf16-mixed"``, ``"16-mixed"``, or ``"auto"``: bfloat16 where the device computes it
            natively, else float32. The classifier, the loss and the metrics are float32 in any case.
        eval_every: Epochs between two evaluations of the validation part, where there is one; >= 1.

    Raises:
        InputError: a device or precision that is not there.
    """
    if not isinstance(eval_every, int) or eval_every < 1:
        raise InputError(f"trainer.eval_every={eval_every} must be a whole number of epochs >= 1")
    if precision not in PRECISIONS:
        raise InputError(f"trainer.precision={precision} must be one of {', '.join(PRECISIONS)}")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning 2.6 with a torch of 2026 warns of its own code at every batch's transfer; stage 2 is frozen on purpose.
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
    warnings.filterwarnings("ignore", message=r"Total length of `list` across ranks is zero.*")  # no validation part
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode at the start of training.*")
    warnings.filterwarnings("ignore", message=r".*You should pass `device_ids`.*|.*Grad strides do not match.*")
    if accelerator in ("gpu", "cuda") and devices > torch.cuda.device_count():
        raise InputError(
            f"trainer.devices={devices} with trainer.accelerator={accelerator}: this machine has "
            f"{torch.cuda.device_count()} GPUs that torch can use; trainer=default takes the best device there is"
        )
    on_gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())
    if precision == "16-mixed" and (accelerator == "cpu" or (accelerator == "auto" and not on_gpu)):
        raise InputError("trainer.precision=16-mixed needs a GPU; take bf16-mixed, 32-true or auto")
    over_several = max_epochs > 0 and devices * num_nodes > 1
    try:
        return Trainer(
            max_epochs=max_epochs,
            callbacks=callbacks,
            accelerator=accelerator,
            devices=devices if over_several else _own_device(on_gpu),
            num_nodes=num_nodes if over_several else 1,
            strategy=DDPStrategy(cluster_environment=_environment()) if over_several else "auto",
            plugins=None if over_several else [LightningEnvironment()],  # SLURM's would requeue the job by itself
            default_root_dir=os.devnull,  # in the working directory Lightning would load another job's hpc_ckpt file
            sync_batchnorm=over_several and on_gpu,  # torch has none for CPUs
            precision=resolve_precision(precision, accelerator),  # type: ignore[arg-type]
            check_val_every_n_epoch=eval_every,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
    except (ValueError, RuntimeError, ImportError, MisconfigurationException) as error:
        raise InputError(f"trainer: {error} (trainer.accelerator={accelerator}; auto takes what is there)") from error


def _environment() -> ClusterEnvironment:
    # Requeueing is left to the scheduler: the same command goes on by itself.
    return TorchElasticEnvironment() if "RANK" in os.environ else SLURMEnvironment(auto_requeue=False)


def _own_device(on_gpu: bool) -> int | list[int]:
    local = os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))
    return [int(local)] if on_gpu and position()[1] > 1 else 1


def resolve_precision(precision: str, accelerator: str = "auto") -> str:
    """Turn ``"auto"`` into ``"bf16-mixed"`` where the device computes bfloat16 natively, else ``"32-true"``."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available() and accelerator in ("auto", "gpu", "cuda"):
        return BF16 if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return BF16 if {"avx512_bf16", "amx_bf16"} & set(_cpu_info("flags").split()) else "32-true"


def compile_in_place(backbone: nn.Module, device: torch.device) -> None:
    """Compile a network whose parameters keep their names, on a GPU with graphs."""
    torch._dynamo.config.recompile_limit = 64  # sizes x modes x gradients wanted or not; SAM's twice
    # An epoch's last batch is of another size: each size is compiled, since graphs are of one.
    backbone.compile(mode="reduce-overhead" if device.type == "cuda" else None, dynamic=False)


def device_name(trainer: Trainer, processes: int = 1) -> str:
    """Name the hardware of a training: the GPUs' name, or the processor's and its threads."""
    device: Any = trainer.strategy.root_device
    if device.type == "cuda":
        return f"{processes} x {torch.cuda.get_device_name(device)}"
    model = _cpu_info("model name") if device.type == "cpu" else ""
    several = f"{processes} processes, " if processes > 1 else ""
    return f"{device.type} {model} ({several}{torch.get_num_threads()} threads)".replace("  ", " ")


def _cpu_info(key: str) -> str:
    # Only Linux says so in a file; elsewhere nothing is known, and float32 is always right.
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    line = next((line for line in lines if line.startswith(key)), ":")
    return line.split(":", 1)[1].strip()
