"""Lists of images, ``path label`` per line, as the published long-tailed benchmarks have them."""

from collections.abc import Mapping
from pathlib import Path

from lt_calib.dataset.folder import class_order
from lt_calib.dataset.rows import Row, source_of
from lt_calib.dataset.source import Source
from lt_calib.errors import InputError
from lt_calib.files.folder import folder_of


def listed(root: str, *, train: str, test: str | None = None, val: str | None = None) -> Source:
    """Read lists whose labels are numbers, which stay, or names.

    Args:
        root: The folder that paths are relative to; ``classes.txt`` there names or orders the classes.
        train: The list of the training images, a path from here or from ``root``.
        test: Likewise; None has a part of the training images split off.
        val: Likewise, by choice.

    Raises:
        InputError: a list is not there, or a line of it is no path and label.
    """
    top = folder_of(root)
    rows = read_lists(find_lists(top, train, val, test))
    return source_of(rows, top, class_order(top / "classes.txt"))


def find_lists(root: Path, train: str, val: str | None, test: str | None) -> dict[str, Path]:
    """Find the list of each split that has one."""
    named = {"train": train, "val": val, "test": test}
    return {split: find(name, root, f"dataset.{split}") for split, name in named.items() if name is not None}


def read_lists(paths: Mapping[str, Path]) -> list[Row]:
    """Read the list of each split; labels are numbers where all are."""
    rows = [row for split, path in paths.items() for row in _read(path, split)]
    if all(isinstance(row.label, int) for row in rows):
        return rows
    return [row._replace(label=str(row.label)) for row in rows]


def find(name: str, root: Path, setting: str) -> Path:
    """Find a file from here or from ``root``.

    Raises:
        InputError: none is named, or it is at neither place.
    """
    if not name:
        raise InputError(f"{setting} must be given")
    for path in (Path(name).expanduser(), root / name):
        if path.is_file():
            return path
    raise InputError(f"{setting}={name} is no file, neither from here nor from dataset.root={root}")


def _read(path: Path, split: str) -> list[Row]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        image, _, label = line.strip().rpartition(" ")  # blanks stand in paths too
        if not image:
            raise InputError(f"{path}, line {number}: {line!r} is no path and label with a blank between them")
        rows.append(Row(image.strip(), None, int(label) if label.isdecimal() else label, split))
    return rows
