"""From rows of image, label, split and group to a source: one class list, that of the training images."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from lt_calib.dataset.files import Files
from lt_calib.dataset.source import Source
from lt_calib.errors import InputError

NAMED = 5  # of many alike, in an error


class Row(NamedTuple):
    """One image: its path below the root, its content where that is in no file, label, split, and patient or site."""

    image: str
    encoded: bytes | None
    label: str | int
    split: str = "train"
    group: str | None = None


def source_of(
    rows: Sequence[Row], root: Path, class_names: Sequence[str] | None = None, remarks: Sequence[str] = ()
) -> Source:
    """Make a source of rows. Without a row of the test set, a part of the training images is split off later.

    Args:
        rows: Each split's in its order, which is kept.
        root: The folder that paths are relative to.
        class_names: Of labels that are names, their order; of numbers, what they are called. Without them names are
            ordered by their training images, largest first, then by name.
        remarks: What was left out already.

    Raises:
        InputError: no training image, a file that is not there, or labels that do not fit together.
    """
    of = {split: [row for row in rows if row.split == split] for split in ("train", "val", "test")}
    if not of["train"]:
        raise InputError(f"{root}: no training image was found among {len(rows)} images")
    gone = [row.image for row in rows if row.encoded is None and not (root / row.image).exists()]
    if gone:
        raise InputError(
            f"{len(gone)} of {len(rows)} images are not there, {root / gone[0]} the first: paths are relative to "
            f"dataset.root={root}"
        )
    names, labels = _classes(of, class_names)
    number = {label: c for c, label in enumerate(labels)}
    remarks = list(remarks)
    if of["test"]:
        absent = sorted(set(range(len(labels))) - {number[row.label] for row in of["test"]})
        if absent:
            remarks.append(f"classes without a test image, {len(absent)}: {_some([names[c] for c in absent])}")

    def part(split: str) -> tuple[Files | None, torch.Tensor | None]:
        mine = of[split]
        if not mine:
            return None, None
        encoded = tuple(row.encoded for row in mine if row.encoded is not None)
        files = Files(root, tuple(row.image for row in mine), encoded or None)
        return files, torch.tensor([number[row.label] for row in mine])

    (train, train_targets), (val, val_targets), (test, test_targets) = map(part, of)
    assert train is not None
    assert train_targets is not None
    groups = [row.group for row in of["train"]]
    named = [group for group in groups if group is not None]
    if named and len(named) < len(groups):
        raise InputError(f"{len(groups) - len(named)} training images have no group: give each one of its own")
    _refuse_shared_groups(of)
    return Source(
        train, train_targets, test, test_targets, names, val, val_targets, named or None, tuple(remarks)
    )  # fmt: skip


def _classes(of: dict[str, list[Row]], class_names: Sequence[str] | None) -> tuple[tuple[str, ...], list[str | int]]:
    counts = Counter(row.label for row in of["train"])
    if all(isinstance(label, int) for label in counts):
        labels: list[str | int] = list(range(max(map(int, counts)) + 1))
        names = tuple(map(str, class_names or labels))
        if len(names) != len(labels):
            raise InputError(f"{len(names)} class names for {len(labels)} classes, labels 0 to {len(labels) - 1}")
    else:
        labels = list(class_names) if class_names else sorted(counts, key=lambda c: (-counts[c], natural(str(c))))
        names = tuple(map(str, labels))
    empty = [str(label) for label in labels if not counts[label]]
    if empty:
        raise InputError(
            f"{len(empty)} of {len(labels)} classes have no training image: {_some(empty)}. Labels must be names, or "
            "0, 1, ... without a gap"
        )
    for split, rows in of.items():
        unknown = sorted({str(row.label) for row in rows} - set(map(str, labels)), key=natural)
        if unknown:
            raise InputError(
                f"the {split} images have {len(unknown)} classes that no training image has, or that the class names "
                f"leave out: {_some(unknown)}"
            )
    return names, labels


def _refuse_shared_groups(of: dict[str, list[Row]]) -> None:
    train = {row.group for row in of["train"] if row.group is not None}
    for split in ("val", "test"):
        shared = sorted({str(row.group) for row in of[split] if row.group in train})
        if shared:
            raise InputError(
                f"{len(shared)} groups stand in train and in {split}: {_some(shared)}. Images of one patient or site "
                "on both sides make the result better than it is: move each group to one side, or leave out the split "
                "column, and the groups are split"
            )


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort names as people do: class2 before class10."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
