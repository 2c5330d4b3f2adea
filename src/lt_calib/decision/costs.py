"""Decisions by least expected cost."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lt_calib.errors import InputError


def expected_costs(probs: Tensor, costs: Tensor) -> Tensor:
    """Compute sum_c p_c C_cj, what a decision j costs on average.

    Args:
        probs: p (N, K) float, rows sum to 1.
        costs: C (K, K) float64, of an image of class c (row) that is taken for class j (column).

    Shape:
        Returns (N, K) float64. The least of a row is the decision by least expected cost; with the costs 1 of any
        mistake it is the most probable class.
    """
    return probs.double() @ costs


def read_costs(path: Path, class_names: Sequence[str]) -> Tensor:
    """Read a cost matrix from a CSV: a head ``true,NAME,NAME,...``, then a line ``NAME,cost,cost,...`` per true class.

    Args:
        path: Of the file; classes in any order, of lines and of columns.
        class_names: (K,).

    Returns:
        C (K, K) float64, rows and columns in the order of ``class_names``.

    Raises:
        InputError: it cannot be read, names other classes, or has a cost that is no finite number.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            head, *lines = [[cell.strip() for cell in line] for line in csv.reader(stream) if any(line)] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    names = list(class_names)
    for what, found in (("its head", head[1:]), ("its lines", [line[0] for line in lines])):
        if sorted(found) != sorted(names):
            wrong = [name for name in found if name not in names] or [name for name in names if name not in found]
            raise InputError(
                f"{path}: {what} must name each of the {len(names)} classes {names[0]} to {names[-1]} once"
                + (f", and {wrong[0]!r} is not both there and one of them" if wrong else "")
            )
    costs = torch.zeros(len(names), len(names), dtype=torch.float64)
    for line in lines:
        if len(line) != len(head):
            raise InputError(f"{path}: the line of {line[0]!r} has {len(line) - 1} costs for {len(names)} classes")
        for name, cell in zip(head[1:], line[1:], strict=True):
            costs[names.index(line[0]), names.index(name)] = _number(cell, f"{path}: {line[0]!r} taken for {name!r}")
    return costs


def saving(probs: Tensor, targets: Tensor, costs: Tensor) -> tuple[float, float]:
    """Compute the mean cost of images when each is taken for its most probable class, and by least expected cost.

    Args:
        probs: (N, K) float.
        targets: (N,) int64, of the images' own classes.
        costs: (K, K) float64.
    """
    choices = probs.argmax(1), expected_costs(probs, costs).argmin(1)
    most_probable, cheapest = (float(costs[targets, choice].mean()) for choice in choices)
    return most_probable, cheapest


def _number(cell: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where} costs {cell!r}, which must be a finite number")
    return value
