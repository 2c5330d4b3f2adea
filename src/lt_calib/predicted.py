"""What a run predicts: image files of any size and kind, and files of features."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lt_calib.dataset.files import kept_side, to_square
from lt_calib.dataset.image import read_image
from lt_calib.errors import InputError
from lt_calib.predictor import BATCH, Predictor


def read_resized(
    path: Path, shape: Sequence[int], transform: Any = None, resized: list[tuple[int, int]] | None = None
) -> Tensor:
    """Read an image file as (C, H, W) uint8, in color where C is 3, brought to H and W as the transform evaluates it.

    Without a ``fit`` of the transform's its sides are stretched.

    Args:
        path: Of the file.
        shape: (C, H, W).
        transform: The run's.
        resized: Takes width and height of an image that is resized.

    Raises:
        InputError: it cannot be read.
    """
    channels, height, width = shape
    size = kept_size(shape, transform)
    image = read_image(path, "RGB" if channels == 3 else "L", size=size[0] if height == width else None)
    if resized is not None:
        with Image.open(path) as stored:  # read_image may have decoded a JPEG at half its scale
            resized += [stored.size] if stored.size not in (size, size[::-1]) else []
    image = to_square(image, size[0], transform) if height == width else image.resize(size, Image.Resampling.BILINEAR)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2  # evaluation sees the middle of what is kept
    image = image.crop((left, top, left + width, top + height))
    return torch.from_numpy(np.array(image)).reshape(height, width, channels).permute(2, 0, 1)


def kept_size(shape: Sequence[int], transform: Any) -> tuple[int, int]:
    """Return width and height that images are resized to, before evaluation takes the middle of them."""
    _, height, width = shape
    side = kept_side(transform, height) if height == width else None
    return (side, side) if side else (width, height)


def predict_files(
    predictor: Predictor, paths: Sequence[Path], unreadable: list[str], resized: list[tuple[int, int]]
) -> Iterator[tuple[str, Tensor]]:
    """Compute file and probabilities (K,) of images, batch by batch.

    Args:
        predictor: A finished run.
        paths: Of the images.
        unreadable: Takes a line for what cannot be read.
        resized: Takes width and height of what is resized.
    """
    for start in range(0, len(paths), BATCH):
        images, names = [], []
        for path in paths[start : start + BATCH]:
            try:
                images.append(read_resized(path, predictor.image_shape, predictor.transform, resized))
                names.append(str(path))
            except InputError as error:
                unreadable.append(str(error))
        if images:
            yield from zip(names, predictor.predict_proba(torch.stack(images)), strict=True)


def predict_rows(predictor: Predictor, path: Path) -> Iterator[tuple[str, Tensor]]:
    """Predict the features of a file: ``.npy``, or ``.npz`` with an array ``features`` or ``test_features``.

    Raises:
        InputError: the file holds no features of the run's width.
    """
    try:
        found = np.load(path)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise InputError(f"{path}, no file of features ({error}): this run's are in a .npy or .npz") from error
    if not isinstance(found, np.ndarray):
        name = next((name for name in ("features", "test_features") if name in found), None)
        if name is None:
            raise InputError(f"{path} has {', '.join(found)}; wanted is an array features (N, D)")
        found = found[name]
    yield from ((f"row {row}", probs) for row, probs in enumerate(predictor.predict_proba(found)))


def said_of(resized: Sequence[tuple[int, int]], size: tuple[int, int]) -> str:
    """Say how many images were resized, from the smallest to the largest by area, and to what size."""
    ends = dict.fromkeys(f"{w} x {h}" for w, h in (min(resized, key=math.prod), max(resized, key=math.prod)))
    return f"{len(resized)} images resized: from {' to '.join(ends)} pixels, to {size[0]} x {size[1]}"
