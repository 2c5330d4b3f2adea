"""A folder of images: a folder per class."""

import os
from collections import Counter
from pathlib import Path

from PIL import Image

from lt_calib.dataset.image import find_files
from lt_calib.dataset.rows import Row, natural, source_of
from lt_calib.dataset.source import Source
from lt_calib.errors import InputError
from lt_calib.files.folder import folder_of

SPLITS = ("train", "val", "test")


def folder(root: str) -> Source:
    """Find the images of ``train/<class>/``, ``test/<class>/`` and, by choice, ``val/<class>/``, or of ``<class>/``.

    Links are followed. Hidden files, what systems leave behind and files without an image's ending are left out, and
    counted. ``classes.txt`` in the folder orders the classes, one name per line; without it the largest comes first.

    Args:
        root: The folder.

    Raises:
        InputError: it is not there, or holds no images in folders.
    """
    top = folder_of(root)
    found = {entry.name for entry in top.iterdir() if entry.is_dir()}
    if "train" not in found and found & {"test", "val"}:
        raise InputError(f"{top} has {', '.join(sorted(found & {'test', 'val'}))} and no train: {_WANTED}")
    splits = {split: top / split for split in SPLITS if split in found} if "train" in found else {"train": top}
    left_out: Counter[str] = Counter()
    rows = [
        Row(os.path.relpath(path, top), None, name, split)
        for split, below in splits.items()
        for name, path in _images(below, left_out)
    ]
    if not rows:
        raise InputError(f"{top} holds no image in a folder of its class: {_WANTED}")
    others = sorted(found - set(splits)) if "train" in found else []
    remarks = [f"files left out, {why}: {n}" for why, n in left_out.items() if n]
    remarks += [f"folders beside train that are not read: {', '.join(others)}"] if others else []
    return source_of(rows, top, class_order(top / "classes.txt"), remarks)


_WANTED = "wanted are train/<class>/*.jpg and test/<class>/*.jpg, or <class>/*.jpg, of which a test set is split off"


def class_order(path: Path) -> list[str] | None:
    """Read class names, one per line; None where there is no such file."""
    if not path.exists():
        return None
    return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]


def _images(below: Path, left_out: Counter[str]) -> list[tuple[str, Path]]:
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    cannot: list[str] = []
    paths, hidden = find_files(below, cannot)
    if cannot:
        raise InputError("; ".join(cannot[:5]))
    left_out["hidden or left by a system"] += hidden
    images = []
    for path in paths:
        inside = path.relative_to(below).parts[:-1]
        if path.suffix.lower() in endings and inside:
            images.append((inside[0], path))
        elif path.suffix.lower() in endings:
            left_out["in no class's folder"] += 1
        elif inside:  # beside the classes lie lists and readmes
            left_out[f"no image by the ending {path.suffix or 'that is not there'}"] += 1
    return sorted(images, key=lambda image: (natural(image[0]), natural(str(image[1]))))
