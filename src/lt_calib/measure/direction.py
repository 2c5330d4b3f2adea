"""Which way a metric is better; a search asks, and refuses a metric that does not say."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def better(way: str | Mapping[str, str]) -> Callable[[F], F]:
    """Mark a metric function: ``@better("higher")``, ``@better("lower")``, or of several values those that have one.

    A metric that is signed, or of the labels or the confidences alone, has none.
    """

    def mark(function: F) -> F:
        function.better = way  # type: ignore[attr-defined]
        return function

    return mark


def way_of(metric: Callable[..., Any], part: str = "") -> str | None:
    """Return ``"higher"`` or ``"lower"``, of one of a metric's values where it has several; None where it has none."""
    way = getattr(metric.func if isinstance(metric, partial) else metric, "better", None)
    return way.get(part) if isinstance(way, Mapping) else way
