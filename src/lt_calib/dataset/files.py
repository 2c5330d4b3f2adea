"""Images in files, or encoded in a table's column: read when they are wanted, in parallel."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from rich import get_console
from rich.progress import track
from torch import Tensor

from lt_calib.dataset.image import read_image
from lt_calib.errors import InputError

SMALLEST = 2  # pixels a side


@dataclass(frozen=True)
class Files:
    """Images that are not decoded yet.

    Args:
        root: What their names are relative to.
        names: Paths, or what else names an image.
        encoded: Their content, where it is not in files of their own.
    """

    root: Path
    names: tuple[str, ...]
    encoded: tuple[bytes, ...] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, indices: Sequence[int]) -> "Files":
        encoded = None if self.encoded is None else tuple(self.encoded[i] for i in indices)
        return Files(self.root, tuple(self.names[i] for i in indices), encoded)

    def read(self, index: int, mode: Literal["RGB", "L"] = "RGB") -> Image.Image:
        """Read one image, upright; see :func:`lt_calib.dataset.image.read_image`."""
        encoded = None if self.encoded is None else self.encoded[index]
        return read_image(self.root / self.names[index], mode, encoded)

    def content(self, index: int) -> bytes:
        """Return one image's encoded content."""
        return (self.root / self.names[index]).read_bytes() if self.encoded is None else self.encoded[index]

    def decode(self, size: int, transform: Any = None) -> tuple[Tensor, dict[int, str]]:
        """Read all images and bring them to ``size`` x ``size``, over all cores.

        Args:
            size: Side in pixels, >= 1.
            transform: Its ``fit`` brings an image to that size; without one it is resized, whatever its aspect ratio.

        Returns:
            (N, size, size, 3) uint8, and for each that cannot be read, its index and why.
        """
        images = torch.zeros(len(self), size, size, 3, dtype=torch.uint8)

        def read(i: int) -> str:
            try:
                image = self.read(i)
                if min(image.size) < SMALLEST:
                    width, height = image.size
                    return f"{self.names[i]} has {width} x {height} pixels, at least {SMALLEST} a side are wanted"
                images[i] = torch.from_numpy(np.array(to_square(image, size, transform)))
            except InputError as error:
                return str(error)
            return ""

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            quiet = not get_console().is_terminal
            said = list(track(pool.map(read, range(len(self))), "reading images", len(self), disable=quiet))
        return images, {i: why for i, why in enumerate(said) if why}


def to_square(image: Image.Image, size: int, transform: Any = None) -> Image.Image:
    """Bring an RGB image to ``size`` x ``size`` as a transform's ``fit`` does, or squeezed."""
    fit = getattr(transform, "fit", None)
    return fit(image, size) if fit else image.resize((size, size), Image.Resampling.BILINEAR)


def kept_side(transform: Any, size: int | None) -> int | None:
    """Return the side at which images are kept for a network that sees ``size``; more where the transform crops."""
    kept = getattr(transform, "kept", None)
    return kept(size) if kept and size else size
