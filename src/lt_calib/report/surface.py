"""The surface of a grid: every point's number, accuracy / ECE / NLL a line, an imbalance factor a column."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from lt_calib.job.record import factor_of
from lt_calib.report.group import Run, grouped, numbers_of
from lt_calib.report.read import grid_file, grid_of, left_out_if_damaged
from lt_calib.report.rows import gather
from lt_calib.report.table import Table, by_columns, show


def surfaces(runs: Sequence[Run], split: str = "test") -> list[Table]:
    """Gather the points of the runs with a grid, over their seeds.

    One table for each method, data set, validation part, network, length and hardware. Where the validation part chose
    a point, its cell says in how many of the runs, and where one diverged likewise. The head says what the numbers are
    of: points must not be chosen on the test set.

    Args:
        runs: Contents of results.json.
        split: ``"test"`` or ``"val"``.
    """
    groups = gather(runs, split)
    alike = Counter(group._replace(settings="") for group in groups)
    points = []
    for group, mine in groups.items():
        settings = group.settings if alike[group._replace(settings="")] > 1 else ""  # each factor has its own recipe
        for run in mine:
            with left_out_if_damaged(grid_file(run)):
                of = group._replace(imbalance_factor=0, settings=settings)
                points += [{"of": of, **point} for point in _points(run, grid_of(run), split)]
    tables = []
    part = {"test": "test set", "val": "validation part"}[split]
    for (group, axes), some in grouped(points, lambda point: (point["of"], point["axes"])).items():
        some.sort(key=lambda point: point["settings"])
        cells = grouped(some, lambda point: (*point["settings"], point["factor"]))
        about = f"{group.method}, {group.data}, {group.network}, {group.epochs} epochs"
        title = f"{about}: point: accuracy / ECE / NLL on the {part} (runs)"
        called = {point["factor"]: point["called"] for point in some}
        tables.append(by_columns(title, axes, [(*place, _cell(mine)) for place, mine in cells.items()], called))
    return tables


def _points(run: Run, grid: dict[str, Any] | None, split: str) -> list[dict[str, Any]]:
    if grid is None or not any(split in point for point in grid["points"]):
        return []
    points = grid["points"]
    return [
        {
            "axes": tuple(points[0]["settings"]),
            "settings": tuple(str(point["settings"][axis]) for axis in points[0]["settings"]),
            "factor": run["dataset"]["imbalance_factor"],
            "called": factor_of(run["dataset"]),
            "number": k,
            "chosen": bool(grid["select"]) and k == grid["chosen"],
            "diverged": "diverged" in point,
            "numbers": numbers_of(point[split]) if split in point else None,
        }
        for k, point in enumerate(points)
    ]


def _cell(points: Sequence[dict[str, Any]]) -> str:
    found = [point["numbers"] for point in points if point["numbers"]]
    text = " / ".join(show([numbers[m] for numbers in found], m != "nll") for m in ("acc", "ece", "nll"))
    times, lost = (sum(point[what] for point in points) for what in ("chosen", "diverged"))
    said = [
        f"{text} ({len(found)})" if found else "-",
        f"(chosen by {times})" * (times > 0),
        f"({lost} diverged)" * (lost > 0),
    ]
    return f"{', '.join(map(str, sorted({point['number'] for point in points})))}: " + " ".join(filter(None, said))
