"""What the large long-tailed benchmarks share: published lists, and images that lie as an archive leaves them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lt_calib.dataset.folder import class_order
from lt_calib.dataset.list import find_lists, read_lists
from lt_calib.dataset.rows import Row, source_of
from lt_calib.dataset.source import Source
from lt_calib.errors import InputError
from lt_calib.files.folder import folder_of


@dataclass(frozen=True)
class Benchmark:
    """A published benchmark.

    Attributes:
        wanted: Which archives and which lists it takes, where they go and where they come from, as a sentence.
        lists: Git blob id of each published list, or its first digits -> the list's name.
        class_of: The name of a training image's class, from its path in a list.
        layouts: Where else an image may lie: ``(path in the list, name of its class) -> path below the root``.
    """

    wanted: str
    lists: Mapping[str, str]
    class_of: Callable[[str], str]
    layouts: Sequence[Callable[[str, str], str]] = ()


def load(about: Benchmark, root: str, train: str, test: str | None, val: str | None) -> Source:
    """Read a benchmark's lists, and find its images in whatever layout they lie.

    Raises:
        InputError: the folder, a list or an image is not there; it says which archives and lists are wanted.
    """
    try:
        top = folder_of(root)
        paths = find_lists(top, train, val, test)
    except InputError as error:
        raise InputError(f"{error}. {about.wanted}") from error
    rows = read_lists(paths)
    names = _class_names(rows, about.class_of)
    rows = _placed(rows, names, top, about)
    complete = list(names) == list(range(len(names)))
    order = class_order(top / "classes.txt") or (list(names.values()) if complete else None)
    return source_of(rows, top, order, [recognized(path, about.lists) for path in paths.values()])


def blob_id(content: bytes) -> str:
    """Compute git's id of a file's content: SHA-1 of ``blob SIZE``, a zero byte and the content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def recognized(path: Path, lists: Mapping[str, str]) -> str:
    """Say which published list a file is, by its content."""
    found = blob_id(path.read_bytes())
    name = next((name for known, name in lists.items() if found.startswith(known)), None)
    return f"{path.name} is {name}" if name else f"{path.name} is no list known here (git blob {found}): used as it is"


def _class_names(rows: Sequence[Row], class_of: Callable[[str], str]) -> dict[int, str]:
    names: dict[int, str] = {}
    for row in rows:
        if row.split == "train" and isinstance(row.label, int) and row.label not in names:
            names[row.label] = class_of(row.image)
    return dict(sorted(names.items()))


def _placed(rows: Sequence[Row], names: Mapping[int, str], top: Path, about: Benchmark) -> list[Row]:
    """Give each row the path at which its image lies.

    Raises:
        InputError: images lie nowhere.
    """
    layouts = [lambda path, name: path, *about.layouts]
    placed, gone = [], []
    last: dict[str, Any] = dict.fromkeys(("train", "val", "test"), layouts[0])
    for row in rows:
        name = names.get(row.label, "") if isinstance(row.label, int) else ""
        for layout in (last[row.split], *layouts):
            path = layout(row.image, name)
            if (top / path).exists():
                last[row.split] = layout  # mostly that of the next image too
                placed.append(row._replace(image=path))
                break
        else:
            gone.append(row)
    if gone:
        raise InputError(
            f"{len(gone)} of {len(rows)} images are not below dataset.root={top}: {gone[0].image} of {gone[0].split} "
            f"is the first. {about.wanted}"
        )
    return placed
