"""A table of images, CSV or Parquet: a row per image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lt_calib.dataset.folder import class_order
from lt_calib.dataset.list import find
from lt_calib.dataset.rows import Row, source_of
from lt_calib.dataset.source import Source
from lt_calib.errors import InputError
from lt_calib.files.folder import folder_of

COLUMNS = {"image": "image", "label": "label", "class": "class", "split": "split", "group": "group"}
OPTIONAL = ("class", "split", "group")  # used where the table has them
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def table(root: str, *, file: str, columns: Mapping[str, str] | None = None) -> Source:
    """Read a table's rows: an image's path or its encoded bytes, its label, and by choice split, group and class name.

    Args:
        root: The folder that paths are relative to; ``classes.txt`` there orders the classes.
        file: ``.csv``, ``.tsv`` or ``.parquet``, a path from here or from ``root``.
        columns: What the columns ``image``, ``label``, ``class``, ``split`` and ``group`` are called in the table.
            ``class`` names labels that are numbers. Without a column ``split`` a test set is split off.

    Raises:
        InputError: the table, a column or a value is not as needed.
    """
    top = folder_of(root)
    path = find(file, top, "dataset.file")
    called = {**COLUMNS, **(columns or {})}
    frame = _read(path)
    for what, name in called.items():
        if name not in frame.columns:
            if what not in OPTIONAL or name != COLUMNS[what]:
                raise InputError(
                    f"{path} has no column {name!r}: set dataset.columns.{what} to one of {', '.join(frame.columns)}"
                )
            called[what] = ""
    values = {what: frame[name].tolist() for what, name in called.items() if name}
    for what in ("image", "label", "split", "group"):
        empty = [i for i, gone in enumerate(frame[called[what]].isna() if called[what] else []) if gone]
        if empty:
            raise InputError(f"{path}: {len(empty)} rows have no {what} ({called[what]}), row {empty[0] + 1} the first")
    splits = [str(split).strip().lower() for split in values.get("split", ["train"] * len(frame))]
    unknown = sorted(set(splits) - SPLITS.keys())
    if unknown:
        raise InputError(f"{path}: {called['split']} has {', '.join(unknown[:5])}; wanted are train, val and test")
    numbers = all(type(label) is int for label in values["label"])
    labels = values["label"] if numbers else [str(label) for label in values["label"]]
    groups = map(str, values["group"]) if "group" in values else [None] * len(frame)
    rows = [
        Row(*_image(cell, number), label, SPLITS[split], group)
        for number, (cell, label, split, group) in enumerate(zip(values["image"], labels, splits, groups, strict=True))
    ]
    names = class_order(top / "classes.txt")
    if numbers and "class" in values:
        of_number = dict(zip(labels, map(str, values["class"]), strict=True))
        names = [of_number[c] for c in sorted(of_number)]
    return source_of(rows, top, names)


def _read(path: Path) -> Any:
    import pandas as pd  # a second to import, and no other source needs it

    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",")
    except ImportError as error:
        raise InputError(f"{path}: Parquet is read by pyarrow: pip install 'lt_calib[parquet]'") from error
    except (ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from error


def _image(cell: Any, number: int) -> tuple[str, bytes | None]:
    if isinstance(cell, Mapping):  # as Hugging Face's data sets keep an image
        return str(cell.get("path") or f"row {number + 1}"), cell.get("bytes")
    return (f"row {number + 1}", cell) if isinstance(cell, bytes) else (str(cell), None)
