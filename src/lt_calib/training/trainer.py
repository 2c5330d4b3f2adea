"""The Lightning trainer of one stage."""

import logging
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

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
from lt_calib.training.processes import position, refuse_other_number

BF16 = "bf16-mixed"
PRECISIONS = ("auto", "32-true", BF16, "16-mixed")


@dataclass
class TrainerSettings:
    """On what a run trains, and how precisely.

    Args:
        accelerator: As Lightning's: ``"auto"``, ``"cpu"``, ``"gpu"``, ...
        devices: Processes of a training on this machine, one per device; >= 1.
        num_nodes: Machines of a training, >= 1.
        precision: ``"32-true"``, ``"bf16-mixed"``, ``"16-mixed"``, or ``"auto"``: bfloat16 where the device computes it
            natively, else float32. The classifier, the loss and the metrics are float32 in any case.
        eval_every: Epochs between two evaluations of the validation part, where there is one; >= 1.
        compile: Whether the backbone is compiled.

    Raises:
        InputError: a number out of its range, or a device or precision that is not there.
    """

    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    precision: str = "auto"
    eval_every: int = 1
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("devices", "num_nodes", "eval_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"trainer.{name}={value} must be a whole number >= 1")
        if self.precision not in PRECISIONS:
            raise InputError(f"trainer.precision={self.precision} must be one of {', '.join(PRECISIONS)}")
        refuse_other_number(self.devices, self.num_nodes)
        if self.accelerator in ("gpu", "cuda") and self.devices > torch.cuda.device_count():
            raise InputError(
                f"trainer.devices={self.devices} with trainer.accelerator={self.accelerator}: this machine has "
                f"{torch.cuda.device_count()} GPUs that torch can use; trainer=default takes the best device there is"
            )
        if self.precision == "16-mixed" and not self._on_gpu and self.accelerator in ("cpu", "auto"):
            raise InputError("trainer.precision=16-mixed needs a GPU; take bf16-mixed, 32-true or auto")
        self.precision = resolve_precision(self.precision, self.accelerator)
        self.device = self.make().strategy.root_device

    @property
    def processes(self) -> int:
        """How many train together."""
        return self.devices * self.num_nodes

    @property
    def _on_gpu(self) -> bool:
        return self.accelerator in ("gpu", "cuda") or (self.accelerator == "auto" and torch.cuda.is_available())

    @property
    def device_name(self) -> str:
        """Name the hardware of a training: the GPUs' name, or the processor's and its threads."""
        if self.device.type == "cuda":
            return f"{self.processes} x {torch.cuda.get_device_name(self.device)}"
        model = _cpu_info("model name") if self.device.type == "cpu" else ""
        several = f"{self.processes} processes, " if self.processes > 1 else ""
        return f"{self.device.type} {model} ({several}{torch.get_num_threads()} threads)".replace("  ", " ")

    def make(self, max_epochs: int = 0, callbacks: list[Callback] | None = None) -> Trainer:
        """Build a trainer that writes and logs nothing by itself.

        Args:
            max_epochs: >= 0; 0 evaluates, which every process does by itself.
            callbacks: Lightning callbacks.

        Raises:
            InputError: a device that is not there.
        """
        _hush()
        over_several = max_epochs > 0 and self.processes > 1
        try:
            return Trainer(
                max_epochs=max_epochs,
                callbacks=callbacks,
                accelerator=self.accelerator,
                devices=self.devices if over_several else _own_device(self._on_gpu),
                num_nodes=self.num_nodes if over_several else 1,
                strategy=DDPStrategy(cluster_environment=_environment()) if over_several else "auto",
                plugins=None if over_several else [LightningEnvironment()],  # SLURM's would requeue the job by itself
                default_root_dir=os.devnull,  # elsewhere Lightning would load another job's hpc_ckpt file
                sync_batchnorm=over_several and self._on_gpu,  # torch has none for CPUs
                precision=self.precision,  # type: ignore[arg-type]
                check_val_every_n_epoch=self.eval_every,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
            )
        except (ValueError, RuntimeError, ImportError, MisconfigurationException) as error:
            raise InputError(
                f"trainer: {error} (trainer.accelerator={self.accelerator}; auto takes what is there)"
            ) from error


def _hush() -> None:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning 2.6 with a torch of 2026 warns of its own code at every batch's transfer; stage 2 is frozen on purpose.
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
    warnings.filterwarnings("ignore", message=r"Total length of `list` across ranks is zero.*")  # no validation part
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode at the start of training.*")
    warnings.filterwarnings("ignore", message=r".*You should pass `device_ids`.*|.*Grad strides do not match.*")


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
    torch.compiler.reset()  # drops what was compiled for the networks of a sweep's earlier jobs
    torch._dynamo.config.recompile_limit = 64  # sizes x modes x gradients wanted or not; SAM's twice
    # An epoch's last batch is of another size: each size is compiled, since graphs are of one.
    backbone.compile(mode="reduce-overhead" if device.type == "cuda" else None, dynamic=False)


def _cpu_info(key: str) -> str:
    # Only Linux says so in a file; elsewhere nothing is known, and float32 is always right.
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    line = next((line for line in lines if line.startswith(key)), ":")
    return line.split(":", 1)[1].strip()
