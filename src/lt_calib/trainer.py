"""The Lightning trainer of one stage."""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException

from lt_calib.errors import InputError

BF16 = "bf16-mixed"
PRECISIONS = ("auto", "32-true", BF16, "16-mixed")


def make_trainer(
    *,
    max_epochs: int,
    callbacks: list[Callback],
    accelerator: str = "auto",
    devices: int = 1,
    precision: str = "auto",
    eval_every: int = 1,
) -> Trainer:
    """Build a trainer that writes and logs nothing by itself.

    Args:
        max_epochs: >= 0.
        callbacks: Lightning callbacks.
        accelerator: As Lightning's: ``"auto"``, ``"cpu"``, ``"gpu"``, ...
        devices: 1; training over several is not built yet.
        precision: ``"32-true"``, ``"bf16-mixed"``, ``"16-mixed"``, or ``"auto"``: bfloat16 where the device computes it
            natively, else float32. The classifier, the loss and the metrics are float32 in any case.
        eval_every: Epochs between two evaluations of the validation part, where there is one; >= 1.

    Raises:
        InputError: a device or precision that is not there.
    """
    if devices != 1:
        raise InputError(f"trainer.devices={devices}: one training runs on one device; set trainer.devices=1")
    if precision not in PRECISIONS:
        raise InputError(f"trainer.precision={precision} must be one of {', '.join(PRECISIONS)}")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # Lightning 2.6 with a torch of 2026 warns of its own code at every batch's transfer; stage 2 is frozen on purpose.
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
    warnings.filterwarnings("ignore", message=r"Total length of `list` across ranks is zero.*")  # no validation part
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode at the start of training.*")
    try:
        return Trainer(
            max_epochs=max_epochs,
            callbacks=callbacks,
            accelerator=accelerator,
            devices=devices,
            precision=resolve_precision(precision, accelerator),  # type: ignore[arg-type]
            check_val_every_n_epoch=eval_every,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise InputError(f"trainer: {error}") from error


def resolve_precision(precision: str, accelerator: str = "auto") -> str:
    """Turn ``"auto"`` into ``"bf16-mixed"`` where the device computes bfloat16 natively, else ``"32-true"``."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available() and accelerator in ("auto", "gpu", "cuda"):
        return BF16 if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return BF16 if {"avx512_bf16", "amx_bf16"} & set(_cpu_info("flags").split()) else "32-true"


def device_name(trainer: Trainer) -> str:
    """Name the hardware: the GPU's name, or the processor's and its threads."""
    device: Any = trainer.strategy.root_device
    if device.type == "cuda":
        return f"{trainer.num_devices} x {torch.cuda.get_device_name(device)}"
    model = _cpu_info("model name") if device.type == "cpu" else ""
    return f"{device.type} {model} ({torch.get_num_threads()} threads)".replace("  ", " ")


def _cpu_info(key: str) -> str:
    # Only Linux says so in a file; elsewhere nothing is known, and float32 is always right.
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    line = next((line for line in lines if line.startswith(key)), ":")
    return line.split(":", 1)[1].strip()
