"""What all resampling shares: pictures as rows of numbers, and imbalanced-learn where it is installed."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lt_calib.errors import InputError

Rows = NDArray[Any]


def imblearn(module: str, name: str) -> Any:
    """Import ``imblearn.MODULE.NAME``.

    Raises:
        InputError: imbalanced-learn is not installed.
    """
    try:
        return getattr(import_module(f"imblearn.{module}"), name)
    except ImportError as error:
        raise InputError("resampling needs imbalanced-learn: pip install 'lt_calib[resample]'") from error


def on_rows(
    images: Tensor, targets: Tensor, resample: Callable[[Rows, Rows], tuple[Rows, Rows]]
) -> tuple[Tensor, Tensor]:
    """Apply ``resample(rows, labels)`` to pictures as rows of float32; uint8 pixels are rounded back.

    Shape:
        images (N, ...) uint8 or float32, targets (N,) int64 -> (M, ...), (M,), dtypes kept.
    """
    rows = images.reshape(len(images), -1).to(torch.float32).numpy()
    new, labels = resample(rows, targets.numpy())
    out = torch.from_numpy(np.ascontiguousarray(new, dtype=np.float32))
    if images.dtype == torch.uint8:
        out = out.round().clamp(0, 255).to(torch.uint8)
    return out.reshape(-1, *images.shape[1:]), torch.from_numpy(np.asarray(labels, dtype=np.int64))
