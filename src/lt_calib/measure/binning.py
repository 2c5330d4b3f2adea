"""The one binning of what stands beside the ECE."""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
N_BINS = 15  # where the ECE is not measured, and of runs that did not keep it


def on_ece_bins(function: F) -> F:
    """Mark a metric of the ECE's own bins, whose values say nothing beside an ECE of other bins."""
    function.on_ece_bins = True  # type: ignore[attr-defined]
    return function


def bins_of(metrics: Mapping[str, Callable[..., Any]]) -> int:
    """Return the number of bins of the ECE and of all that stands beside it: floor, debiased ECE, MCE, RMSCE, figures.

    Args:
        metrics: Name -> function.

    Raises:
        ValueError: two of them have other bins.
    """
    found = {
        name: signature(metric).parameters["n_bins"].default
        for name, metric in metrics.items()
        if getattr(metric.func if isinstance(metric, partial) else metric, "on_ece_bins", False)
    }
    if len(set(found.values())) > 1:
        raise ValueError(
            f"{', '.join(f'metric.{name}.n_bins={n}' for name, n in found.items())}: they stand beside one another "
            "and need one binning. Set metric.ece.n_bins alone, which the others follow"
        )
    return next(iter(found.values()), N_BINS)
