"""The surface of a grid: every point's accuracy / ECE a line, an imbalance factor a column."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from lt_calib.report.by_factor import Grid
from lt_calib.report.read import Run, grid_of
from lt_calib.report.table import show


def surfaces(runs: Sequence[Run], split: str = "test") -> list[Grid]:
    """Gather the points of the runs with a grid, over their seeds.

    One table for each method, data set, validation part and length. Where the validation part chose a point, its cell
    says in how many of the runs, and where one diverged likewise. The head says what the numbers are of: points must
    not be chosen on the test set.

    Args:
        runs: Contents of results.json.
        split: ``"test"`` or ``"val"``.
    """
    tables: dict[tuple[Any, ...], list[tuple[Run, dict[str, Any]]]] = defaultdict(list)
    for run in runs:
        found = grid_of(run)
        if found and any(split in point for point in found["points"]):
            data, epochs = run["dataset"], f"{run['stage1']['epochs']} + {run['stage2']['epochs']}"
            axes = tuple(found["points"][0]["settings"])
            tables[run["name"], data["name"], data.get("val_per_class", 0), epochs, axes].append((run, found))
    return [_surface(about, mine, split) for about, mine in tables.items()]


def _surface(about: tuple[Any, ...], mine: Sequence[tuple[Run, dict[str, Any]]], split: str) -> Grid:
    name, dataset, val, epochs, axes = about
    cells: dict[tuple[str, ...], dict[float, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    chosen: Counter[tuple[tuple[str, ...], float]] = Counter()
    diverged: Counter[tuple[tuple[str, ...], float]] = Counter()
    for run, found in mine:
        factor = run["dataset"]["imbalance_factor"]
        for k, point in enumerate(found["points"]):
            settings = tuple(str(point["settings"][axis]) for axis in axes)
            cells[settings][factor] += [point[split]] if split in point else []
            diverged[settings, factor] += "diverged" in point
            chosen[settings, factor] += bool(found["select"]) and k == found["chosen"]
    factors = sorted({factor for by in cells.values() for factor in by}, reverse=True)

    def cell(settings: tuple[str, ...], factor: float) -> str:
        values = cells[settings][factor]
        text = " / ".join(show([value[metric] for value in values], True) for metric in ("acc", "ece"))
        times, lost = chosen[settings, factor], diverged[settings, factor]
        said = f" (chosen by {times} of {len(values)})" if times else ""
        return (text if values else "-") + said + (f" ({lost} diverged)" if lost else "")

    part = {"test": "test set", "val": "validation part"}[split]
    held = f", {val} a class held out" if val else ""
    title = f"{name}, {dataset}{held}, {epochs} epochs: accuracy / ECE of the grid's points on the {part}"
    lines = [[*settings, *(cell(settings, factor) for factor in factors)] for settings in sorted(cells)]
    return Grid(title, [*axes, *(f"IF {factor:g}" for factor in factors)], lines)
