"""A table of features, embeddings of any network's: no images are needed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from lt_calib.dataset.list import find
from lt_calib.dataset.source import Source
from lt_calib.errors import InputError

WANTED = "train_features (N, D), train_targets (N,), and by choice test_*, val_*, class_names and train_group"
NAMES = ("train_features", "train_targets", "val_features", "val_targets", "test_features", "test_targets",
         "class_names", "train_group")  # fmt: skip


def features(root: str, *, file: str) -> Source:
    """Read features and labels; without a test set a part of the training rows is split off.

    Args:
        root: A folder that ``file`` may be relative to, or nothing.
        file: ``.npz`` or ``.safetensors`` with arrays ``train_features``, ``train_targets`` and so on; a folder of
            such arrays as ``.npy`` files; or ``.parquet`` with columns ``features`` (lists), ``label`` and, by choice,
            ``split`` and ``group``.

    Raises:
        InputError: the file or a value of it is not as needed; the row is named.
    """
    path = Path(file).expanduser()
    if not file or not path.is_dir():
        path = find(file, Path(root or "."), "dataset.file")
    arrays = _read(path)
    if "train_features" not in arrays or "train_targets" not in arrays:
        raise InputError(f"{path} has {', '.join(arrays) or 'nothing'}; wanted are {WANTED}")
    unknown = sorted(arrays.keys() - set(NAMES))
    if unknown:
        raise InputError(f"{path} has {', '.join(unknown)}, which nothing reads; wanted are {WANTED}")
    names, labels_of = _classes(path, arrays)
    width = arrays["train_features"].shape[1:]

    def part(split: str) -> tuple[Tensor | None, Tensor | None]:
        if f"{split}_features" not in arrays:
            return None, None
        rows, where = arrays[f"{split}_features"], f"{path}: {split}_features"
        if f"{split}_targets" not in arrays:
            raise InputError(f"{path} has {split}_features and no {split}_targets")
        if rows.ndim != 2 or rows.shape[1:] != width or not rows.size:
            raise InputError(
                f"{where} {rows.shape} must be (N, D) with a row at least, D as of the training rows, {width}"
            )
        if rows.dtype.kind not in "fiu":
            raise InputError(f"{where} are {rows.dtype}: numbers are wanted")
        rows = rows.astype(np.float32)
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            raise InputError(f"{where}: {len(bad)} rows are not finite, row {bad[0]} (0-based) the first")
        return torch.from_numpy(rows), torch.from_numpy(labels_of(split, len(rows)))

    (train, train_targets), (val, val_targets), (test, test_targets) = map(part, ("train", "val", "test"))
    assert train is not None
    assert train_targets is not None
    groups = [str(group) for group in arrays["train_group"]] if "train_group" in arrays else None
    if groups is not None and len(groups) != len(train):
        raise InputError(f"{path}: {len(groups)} values in train_group for {len(train)} training rows")
    return Source(train, train_targets, test, test_targets, names, val, val_targets, groups)


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        if path.is_dir():
            return {file.stem: np.load(file) for file in sorted(path.glob("*.npy"))}
        if path.suffix == ".npz":
            with np.load(path) as found:
                return dict(found)
        if path.suffix == ".safetensors":
            from safetensors.numpy import load_file

            return load_file(path)
        if path.suffix == ".parquet":
            return _of_table(path)
    except ImportError as error:
        raise InputError(f"{path} needs a package that is not installed: {error}") from error
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise InputError(f"dataset.file={path} cannot be read: {error}") from error
    raise InputError(f"dataset.file={path} must be .npz, .safetensors, .parquet, or a folder of .npy files")


def _of_table(path: Path) -> dict[str, np.ndarray]:
    import pandas as pd

    frame: Any = pd.read_parquet(path)
    if not {"features", "label"} <= set(frame.columns):
        raise InputError(f"{path} has {', '.join(frame.columns)}; wanted are the columns features and label")
    splits = frame["split"] if "split" in frame else pd.Series("train", frame.index)
    unknown = sorted(set(splits) - {"train", "val", "test"})
    if unknown:
        raise InputError(f"{path}: split has {', '.join(map(str, unknown[:5]))}; wanted are train, val and test")
    lengths = frame["features"].map(len)
    if lengths.nunique() > 1:
        row = int((lengths != lengths.iloc[0]).argmax())
        raise InputError(f"{path}: row {row} (0-based) has {lengths.iloc[row]} features, the first {lengths.iloc[0]}")
    arrays: dict[str, np.ndarray] = {}
    for split, rows in frame.groupby(splits, sort=False):
        arrays[f"{split}_features"] = np.stack(list(rows["features"]))
        arrays[f"{split}_targets"] = rows["label"].to_numpy()
        if split == "train" and "group" in rows:
            arrays["train_group"] = rows["group"].to_numpy()
    return arrays


def _classes(path: Path, arrays: Mapping[str, np.ndarray]) -> tuple[tuple[str, ...], Any]:
    """Find the classes, and a function ``(split, rows) -> labels`` as numbers; names are ordered by training rows."""
    train = arrays["train_targets"]
    given = [str(name) for name in arrays["class_names"]] if "class_names" in arrays else None
    if train.dtype.kind in "iu":
        k = len(given) if given else int(train.max(initial=0)) + 1
        names = given or [str(c) for c in range(k)]
        number: dict[Any, int] = {c: c for c in range(k)}
    else:
        found, counts = np.unique(train.astype(str), return_counts=True)
        names = given or [str(found[i]) for i in np.lexsort((found, -counts))]
        number = {name: c for c, name in enumerate(names)}

    def labels_of(split: str, rows: int) -> np.ndarray:
        targets = arrays[f"{split}_targets"]
        if targets.shape != (rows,):
            raise InputError(
                f"{path}: {split}_targets {targets.shape} must be ({rows},), one a row of {split}_features"
            )
        plain = targets.tolist() if targets.dtype.kind in "iu" else [str(value) for value in targets]
        wrong = next((i for i, label in enumerate(plain) if label not in number), None)
        if wrong is not None:
            raise InputError(
                f"{path}: {split}_targets has {plain[wrong]!r} in row {wrong} (0-based); the classes are "
                f"{names[0]} to {names[-1]}, {len(names)} of them"
            )
        return np.array([number[label] for label in plain], dtype=np.int64)

    labels = labels_of("train", len(arrays["train_features"]))
    empty = [names[c] for c in np.flatnonzero(np.bincount(labels, minlength=len(names)) == 0)]
    if empty:
        raise InputError(f"{path}: {len(empty)} of {len(names)} classes have no training row: {', '.join(empty[:5])}")
    return tuple(names), labels_of
