"""What the numbers of a table say, in a sentence."""

import math
from collections.abc import Sequence

from lt_calib.report.columns import Column
from lt_calib.report.names import called
from lt_calib.report.rows import Row

ACC, ECE = Column("accuracy", metric="acc"), Column("ECE", metric="ece")


def in_words(rows: Sequence[Row]) -> str:
    """Say which row of one table is right most often, whether its confidence is, and which has the lowest ECE.

    Nothing is said where neither was measured.
    """
    measured = [row for row in rows if not math.isnan(row.mean("acc") + row.mean("ece"))]
    if not measured:
        return ""
    first = max(measured, key=lambda row: row.mean("acc"))
    beyond = "beyond noise" if "acc" in first.bold else "of one seed" if len(first.runs) == 1 else "not beyond noise"
    said = f"{_named(first)} is right most often, {ACC.center(first)} {ACC.spread(first)}".rstrip() + " %"
    said += f" ({beyond})" if len(measured) > 1 else ""
    said += f", with an ECE of {ECE.center(first)} %{_against_floor(first)}"
    low = min(measured, key=lambda row: row.mean("ece"))
    if low is first:
        return f"{said}{', the lowest of all' * (len(measured) > 1)}."
    return (
        f"{said}; {_named(low)} has the lowest ECE, {ECE.center(low)} %{_against_floor(low)}, at {ACC.center(low)} %."
    )


def _named(row: Row) -> str:
    return f"{called(row)}, stage {row.stage}"


def _against_floor(row: Row) -> str:
    least = row.mean("ece_floor_q95")
    if math.isnan(least):
        return ""
    way = "no more than" if row.mean("ece") <= least else "above"
    return f", {way} the {100 * least:.1f} % of a calibrated model"
