"""Class frequencies by name, by number, or from a file."""

import csv
import math
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lt_calib.errors import InputError

NAMES = "uniform, train, forwardF or backwardF (forward50), or a .csv of class,count"
LONG_TAIL = re.compile(r"(forward|backward)(\d+(?:\.\d+)?)")


def prior_of(
    asked: str | Path | Sequence[float] | Tensor, class_counts: Sequence[int], class_names: Sequence[str]
) -> Tensor:
    """Return class frequencies q (K,) float64, > 0, which sum to 1.

    - ``"uniform"``: 1 / K.
    - ``"train"``: n_c / N.
    - ``"forwardF"``: q_c in proportion to F^(-r_c / (K - 1)) with r_c the rank of class c by n_c, 0 the largest (of
      equal ones the first); ``"backwardF"``: the same with K - 1 - r_c. F >= 1, q's largest over its smallest.
    - a path ending in ``.csv``: see :func:`read_counts`.
    - K numbers > 0: scaled to sum to 1.

    Args:
        asked: One of these.
        class_counts: n (K,) training images per class.
        class_names: (K,).

    Raises:
        InputError: none of these, or a number that is not finite and > 0.

    Reference:
        Zhang et al., "Self-Supervised Aggregation of Diverse Experts for Test-Agnostic Long-Tailed Recognition",
        NeurIPS 2022, section 5 and appendix (forward, uniform, backward).
    """
    k = len(class_counts)
    if not isinstance(asked, (str, Path)):
        return scaled([float(q) for q in asked], class_names, "prior")
    name = str(asked)
    if name == "uniform":
        return torch.full((k,), 1 / k, dtype=torch.float64)
    if name == "train":
        return scaled([float(n) for n in class_counts], class_names, "training images")
    if name.lower().endswith(".csv"):
        return scaled(read_counts(Path(asked), class_names), class_names, name)
    match = LONG_TAIL.fullmatch(name)
    if match is None or float(match[2]) < 1:
        raise InputError(f"prior {name!r} must be {NAMES}; F is >= 1")
    order = torch.tensor(class_counts).argsort(descending=True, stable=True)
    steps = torch.arange(k, dtype=torch.float64) / max(1, k - 1)
    sizes = torch.empty(k, dtype=torch.float64)
    sizes[order] = float(match[2]) ** -(steps if match[1] == "forward" else 1 - steps)
    return sizes / sizes.sum()


def read_counts(path: Path, class_names: Sequence[str]) -> list[float]:
    """Read a count, or a frequency, of each class from a CSV: a class and a number per line, by choice a head.

    Classes are names, or 0-based numbers where one of them is no name.

    Args:
        path: Of the file.
        class_names: (K,).

    Raises:
        InputError: it cannot be read, or does not name each class once.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = [[cell.strip() for cell in line] for line in csv.reader(stream) if any(line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if lines and len(lines[0]) == 2 and not _is_number(lines[0][1]):
        del lines[0]
    for line in lines:
        if len(line) != 2 or not _is_number(line[1]):
            raise InputError(f"{path}: line {','.join(line)!r} must be class,count, such as {class_names[0]},120")
    found = [line[0] for line in lines]
    names = list(class_names)
    if not set(found) <= set(names) and all(name.isdecimal() for name in found):
        names = [str(c) for c in range(len(names))]
    others, twice = [c for c in found if c not in names], [c for c in found if found.count(c) > 1]
    missing = [c for c in names if c not in found]
    for wrong, what in ((others, "no class of the run's"), (twice, "there twice"), (missing, "missing")):
        if wrong:
            raise InputError(
                f"{path}: class {wrong[0]!r} is {what} ({len(set(wrong))} such); wanted is a line for each of "
                f"the {len(names)} classes {names[0]} to {names[-1]}"
            )
    count_of = {name: float(number) for name, number in lines}
    return [count_of[name] for name in names]


def scaled(numbers: Sequence[float], class_names: Sequence[str], what: str) -> Tensor:
    """Scale a number for each class to sum to 1, (K,) float64.

    Raises:
        InputError: another number of them, or one that is not finite and > 0.
    """
    if len(numbers) != len(class_names):
        raise InputError(f"{what}: {len(numbers)} numbers for {len(class_names)} classes")
    for name, number in zip(class_names, numbers, strict=True):
        if not (math.isfinite(number) and number > 0):
            raise InputError(
                f"{what}: class {name!r} has {number:g}, and every class needs a finite number > 0; give a class that "
                "is hardly ever there a small one, such as 0.01"
            )
    q = torch.tensor(numbers, dtype=torch.float64)
    q = q / q.max()
    return q / q.sum()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
