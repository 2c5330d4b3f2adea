"""What may change weights without any setting: torch, the device, sources, the files of parts of one's own."""

import functools
import hashlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import get_object

from lt_calib.settings.table import flatten

if TYPE_CHECKING:
    import torch

PACKAGE = Path(__file__).parents[1]
# What stage 1 does not run; an edit of anything else makes other entries of the cache.
NOT_RUN = ("cache", "calibrate.py", "campaign", "conformal", "convert.py", "dashboard.py", "decision", "ensemble",
           "export.py", "figure", "logger", "posthoc", "predict.py", "predicted.py", "predictor.py", "report",
           "unknown")  # fmt: skip
OF_STAGE1 = ("model", "augment", "stage1", "dataset", "transform", "resample", "metric")


def made_by(config: Mapping[str, Any], device: "torch.device") -> dict[str, str]:
    """Name torch's version, the device, the package's sources, and the file of each part of one's own."""
    import torch

    return {
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "sources": sources_of_this_process(),
        **{target: source_of_this_process(target) for target in own_parts(config)},
    }


def own_parts(config: Mapping[str, Any]) -> list[str]:
    """List the parts of stage 1 that are the user's own, by their ``_target_``: neither the package's nor torch's."""
    flat = flatten({part: config.get(part) for part in OF_STAGE1})
    targets = {str(value) for key, value in flat.items() if key.split(".")[-1] == "_target_"}
    return sorted(target for target in targets if target.split(".")[0] not in ("lt_calib", "torch", "torchvision"))


def checksum_of_source(target: str) -> str:
    """Hash the file that defines ``target``; empty where that is no Python."""
    try:
        file = inspect.getsourcefile(get_object(target))
    except TypeError:
        file = None
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""


source_of_this_process = functools.cache(checksum_of_source)  # once, as sources_of_this_process


@functools.cache
def sources_of_this_process() -> str:
    """Hash the sources once, in a process's first job: whatever is edited later, its later jobs run these."""
    return checksum_of_sources(PACKAGE)


def checksum_of_sources(package: Path) -> str:
    """Hash the files that stage 1 may run, names and contents."""
    total = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        name = file.relative_to(package)
        if name.parts[0] not in NOT_RUN:
            total.update(str(name).encode() + b"\0" + file.read_bytes())
    return total.hexdigest()
