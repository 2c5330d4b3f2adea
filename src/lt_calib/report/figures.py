"""Figures that compare runs."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from lt_calib.figure.accuracy_ece import accuracy_against_ece
from lt_calib.figure.reliability import reliability_curves
from lt_calib.figure.risk_coverage import risk_coverage_curves
from lt_calib.figure.style import save
from lt_calib.figure.true_class import true_class_histograms
from lt_calib.measure.binning import N_BINS
from lt_calib.report.columns import by_setting
from lt_calib.report.group import Group, grouped
from lt_calib.report.names import display
from lt_calib.report.read import logits_of
from lt_calib.report.rows import Row

MOST = 8  # models in one figure: as many as there are colours


class Softmaxed(Mapping[str, tuple[Tensor, Tensor]]):
    """Probabilities and targets by name, read as they are asked for: never those of all models at a time."""

    def __init__(self, read: Mapping[str, Callable[[], Any]]) -> None:
        self.read = read

    def __getitem__(self, name: str) -> tuple[Tensor, Tensor]:
        logits, targets = self.read[name]()
        return logits.softmax(dim=1), targets

    def __iter__(self) -> Iterator[str]:
        return iter(self.read)

    def __len__(self) -> int:
        return len(self.read)


def draw_comparisons(rows: Sequence[Row], folder: Path, split: str = "test") -> list[Path]:
    """Draw accuracy against ECE of all runs of one data set, backbone and length, and the curves of the first of them.

    Args:
        rows: Of the table.
        folder: Where the figures go.
        split: What is drawn.

    Returns:
        The paths of the PNGs.
    """
    drawn = [row for row in rows if row.stage in ("1", "2") and not math.isnan(row.mean("acc") + row.mean("ece"))]
    paths: list[Path] = []
    for mine in by_setting(drawn).values():
        about = mine[0].group
        data, factor, backbone, epochs = about.data, about.imbalance_factor, about.backbone, about.length
        part = "" if split == "test" else ", on that part"
        title = f"{data}, IF {mine[0].factor}{part}\n{backbone}, {epochs} epochs of stage 1"
        stem = re.sub(r"\W+", "_", f"{data}_if{factor:g}_{backbone}_{epochs}_{split}")[:100]
        stem += f"_{len(paths)}" if any(path.stem.startswith(f"{stem}_") for path in paths) else ""
        label = names({row.group for row in mine})
        points = {
            f"{label[row.group]}, stage {row.stage}": list(
                zip(row.over_seeds("acc"), row.over_seeds("ece"), strict=True)
            )
            for row in mine
        }
        paths.append(save(accuracy_against_ece(points, title), folder / f"{stem}_accuracy_ece")[0])
        last = {row.group: row for row in mine}.values()  # of each its last stage
        turns = [(turn, row, run) for row in last for turn, run in enumerate(row.runs)]
        models = {}
        for _, row, run in sorted(turns, key=lambda one: one[0]):  # every row before the second seed of any
            read = partial(logits_of, run, f"stage{row.stage}", split)
            if read() is not None:
                models[f"{label[row.group]}, stage {row.stage}, seed {run['seed']}"] = read
        if len(models) > 1:
            more = len(models) - MOST
            shown = f"{title} (the first {MOST}; {more} more)" if more > 0 else title
            first = Softmaxed(dict(list(models.items())[:MOST]))
            figures = {
                "reliability": reliability_curves(first, shown, mine[0].runs[0].get("n_bins", N_BINS)),
                "risk_coverage": risk_coverage_curves(first, shown),
            }
            if groups := mine[0].runs[0]["dataset"].get("groups"):
                figures["true_class"] = true_class_histograms(first, groups, shown)
            paths += [save(figure, folder / f"{stem}_{kind}")[0] for kind, figure in figures.items()]
    return paths


def names(groups: Iterable[Group]) -> dict[Group, str]:
    """Name each for readers and, where several have that name, by all that tells these apart: no two have one name."""
    found = {}
    for label, alike in grouped(groups, lambda group: group._replace(method=display(group.method)).label).items():
        apart = [field for field in Group._fields if len({getattr(group, field) for group in alike}) > 1]
        for group in alike:
            more = ", ".join(f"{field} {getattr(group, field)}" for field in apart)
            found[group] = f"{label} ({more})" if more else label
    return found
