"""The surface of a grid: every point's number, accuracy / ECE / NLL a line, an imbalance factor a column."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from lt_calib.report.by_factor import Table
from lt_calib.report.read import Run, grid_of
from lt_calib.report.rows import Group, gather
from lt_calib.report.table import data_of, show


def surfaces(runs: Sequence[Run], split: str = "test") -> list[Table]:
    """Gather the points of the runs with a grid, over their seeds.

    One table for each method, data set, validation part, network, length and hardware. Where the validation part chose
    a point, its cell says in how many of the runs, and where one diverged likewise. The head says what the numbers are
    of: points must not be chosen on the test set.

    Args:
        runs: Contents of results.json.
        split: ``"test"`` or ``"val"``.
    """
    tables: dict[tuple[Group, tuple[str, ...]], list[tuple[Run, dict[str, Any]]]] = defaultdict(list)
    groups = gather(runs, split)
    alike = Counter(group._replace(settings="") for group in groups)
    for group, mine in groups.items():
        settings = group.settings if alike[group._replace(settings="")] > 1 else ""  # each factor has its own recipe
        for run in mine:
            found = grid_of(run)
            if found and any(split in point for point in found["points"]):
                axes = tuple(found["points"][0]["settings"])
                tables[group._replace(imbalance_factor=0, settings=settings), axes].append((run, found))
    return [_surface(group, axes, mine, split) for (group, axes), mine in tables.items()]


def _surface(group: Group, axes: tuple[str, ...], mine: Sequence[tuple[Run, dict[str, Any]]], split: str) -> Table:
    cells: dict[tuple[str, ...], dict[float, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    numbers: dict[tuple[tuple[str, ...], float], set[int]] = defaultdict(set)
    chosen: Counter[tuple[tuple[str, ...], float]] = Counter()
    diverged: Counter[tuple[tuple[str, ...], float]] = Counter()
    for run, found in mine:
        factor = run["dataset"]["imbalance_factor"]
        for k, point in enumerate(found["points"]):
            settings = tuple(str(point["settings"][axis]) for axis in axes)
            cells[settings][factor] += [point[split]] if split in point else []
            numbers[settings, factor].add(k)
            diverged[settings, factor] += "diverged" in point
            chosen[settings, factor] += bool(found["select"]) and k == found["chosen"]
    factors = sorted({factor for by in cells.values() for factor in by}, reverse=True)

    def cell(settings: tuple[str, ...], factor: float) -> str:
        values = cells[settings][factor]
        number = ", ".join(map(str, sorted(numbers[settings, factor])))
        text = " / ".join(show([value.get(m) for value in values], m != "nll") for m in ("acc", "ece", "nll"))
        text += f" ({len(values)})"
        times, lost = chosen[settings, factor], diverged[settings, factor]
        said = f" (chosen by {times})" if times else ""
        return (
            (f"{number}: " if number else "")
            + (text if values else "-")
            + said
            + (f" ({lost} diverged)" if lost else "")
        )

    part = {"test": "test set", "val": "validation part"}[split]
    about = f"{group.method}, {data_of(group)}, {group.network}, {group.epochs} epochs"
    title = f"{about}: point: accuracy / ECE / NLL on the {part} (runs)"
    lines = [[*settings, *(cell(settings, factor) for factor in factors)] for settings in sorted(cells)]
    return Table(title, [*axes, *(f"IF {factor:g}" for factor in factors)], lines)
