"""Images in files, or encoded in a table's column: read when they are wanted, in parallel."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import PIL
import torch
from PIL import Image
from rich.progress import track
from torch import Tensor

from lt_calib import terminal
from lt_calib.dataset.image import Part, read_image
from lt_calib.errors import InputError

SMALLEST = 2  # pixels a side
HASH = 16  # bytes
AT_ONCE = 10_000  # of what is waited for, which takes memory
T = TypeVar("T")


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

    def read(
        self, index: int, mode: Literal["RGB", "L"] = "RGB", size: int | None = None, part: Part | None = None
    ) -> Image.Image:
        """Read one image, upright; see :func:`lt_calib.dataset.image.read_image`."""
        encoded = None if self.encoded is None else self.encoded[index]
        return read_image(self.root / self.names[index], mode, encoded, size, part)

    def content(self, index: int) -> bytes:
        """Return one image's encoded content.

        Raises:
            InputError: it is no regular file, or cannot be read.
        """
        if self.encoded is not None:
            return self.encoded[index]
        path = self.root / self.names[index]
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # a named pipe would be waited for
                raise InputError(f"{path} cannot be read: it is no regular file")
            return path.read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error

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
                image = self.read(i, size=max(size, SMALLEST))
                refuse_smaller(image, self.names[i])
                images[i] = torch.from_numpy(np.array(to_square(image, size, transform)))
            except InputError as error:
                return str(error)
            return ""

        said = in_parallel(read, len(self), "reading images")
        return images, {i: why for i, why in enumerate(said) if why}

    def check(self, known: dict[bytes, bytes]) -> tuple[list[bytes], dict[int, str]]:
        """Read all images, over all cores, and keep none; those that are known are not read again.

        Args:
            known: Of images that have been read without a fault the content's hash, by path, size, time of change and
                version of Pillow; what is read is added.

        Returns:
            The hash of each one's content, and for each that cannot be read, its index and why.
        """

        def read(i: int) -> bytes | str:
            try:
                key = self._state(i)
                if key not in known:
                    content = self.content(i)
                    refuse_smaller(read_image(self.root / self.names[i], "RGB", content, SMALLEST), self.names[i])
                    known[key] = _hash(content)
                return known[key]
            except InputError as error:
                return str(error)

        found = list(in_parallel(read, len(self), "checking images"))
        return [one if isinstance(one, bytes) else b"" for one in found], {
            i: why for i, why in enumerate(found) if isinstance(why, str)
        }

    def _state(self, index: int) -> bytes:
        if self.encoded is not None:
            return _hash(self.encoded[index], PIL.__version__)
        path = (self.root / self.names[index]).absolute()
        try:
            now = path.stat()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error
        return _hash(os.fsencode(path), now.st_size, now.st_mtime_ns, PIL.__version__)


def _hash(*parts: object) -> bytes:
    total = hashlib.blake2b(digest_size=HASH)
    for part in parts:
        total.update(part if isinstance(part, bytes) else f"\0{part}".encode())
    return total.digest()


def in_parallel(function: Callable[[int], T], number: int, what: str) -> Iterator[T]:
    """Yield ``function(0), function(1), ...`` over all cores, with a bar on a terminal."""

    def results() -> Iterator[T]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, number, AT_ONCE):
                yield from pool.map(function, range(start, min(start + AT_ONCE, number)))

    yield from track(results(), what, number, disable=not terminal.is_there())


def refuse_smaller(image: Image.Image, name: str) -> None:
    """Refuse an image of less than two pixels a side.

    Raises:
        InputError: it names the image.
    """
    if min(image.size) < SMALLEST:
        width, height = image.size
        raise InputError(f"{name} has {width} x {height} pixels, at least {SMALLEST} a side are wanted")


def to_square(image: Image.Image, size: int, transform: Any = None) -> Image.Image:
    """Bring an RGB image to ``size`` x ``size`` as a transform's ``fit`` does, or squeezed."""
    fit = getattr(transform, "fit", None)
    return fit(image, size) if fit else image.resize((size, size), Image.Resampling.BILINEAR)


def kept_side(transform: Any, size: int | None) -> int | None:
    """Return the side at which images are kept for a network that sees ``size``; more where the transform crops."""
    kept = getattr(transform, "kept", None)
    return kept(size) if kept and size else size
