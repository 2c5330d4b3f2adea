"""What runs share that differ in the seed alone, from the content of their results.json."""

import math
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from lt_calib.measure.binning import N_BINS

Run = dict[str, Any]  # the content of results.json, and "folder" and "file", where it lies
Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)

NO_LETTER = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
METRICS = {
    "acc": "accuracy",
    "ece": "ECE",
    "overconf": "over-confidence",
    "nll": "NLL",
    "acc_head": "head",
    "acc_medium": "medium",
    "acc_tail": "tail",
}
MEASURED = (*METRICS, "ece_floor_mean", "ece_floor_q95")


class Group(NamedTuple):
    """What runs share that differ in the seed alone."""

    dataset: str
    imbalance_factor: int | float
    val_per_class: int
    method: str
    epochs: str
    backbone: str  # which compared methods must share; a classifier may be what a method is
    classifier: str
    precision: str
    settings: str
    variant: str = ""  # what of it is not its experiment's own
    val_fraction: float = 0.0

    @property
    def data(self) -> str:
        """The data, with what is held out."""
        if self.val_fraction:
            return f"{self.dataset}, {100 * self.val_fraction:g} % of each class held out"
        return f"{self.dataset}, {self.val_per_class} a class held out" if self.val_per_class else self.dataset

    @property
    def whole(self) -> bool:
        """Whether nothing is held out."""
        return not self.val_per_class and not self.val_fraction

    @property
    def length(self) -> str:
        """Epochs of stage 1."""
        return self.epochs.split(" ")[0]

    @property
    def network(self) -> str:
        """Backbone and classifier."""
        return f"{self.backbone} + {self.classifier}" if self.classifier else self.backbone

    @property
    def label(self) -> str:
        """The method, with its classifier where that is not the linear one, and what was changed of it."""
        classifier = "" if self.classifier.split("(")[0] == "Linear" else self.classifier
        return ", ".join(filter(None, [self.method, classifier, self.variant]))


def group_of(run: Run) -> Group:
    """Say what a run shares with others of its settings."""
    data, two = run["dataset"], run.get("stage2")
    return Group(
        dataset=data["name"],
        imbalance_factor=data["imbalance_factor"],
        val_per_class=data.get("val_per_class", 0),
        method=run["name"],
        epochs=f"{run['stage1']['epochs']}" + (f" + {two['epochs']}" if two else ""),
        backbone=_shown(run, "backbone") or "-",
        classifier=_shown(run, "classifier"),
        precision=run["environment"]["precision"],
        settings=run.get("settings", ""),
        variant=variant_of(run),
        val_fraction=float(data.get("val_fraction", 0.0)),
    )


def _shown(run: Run, part: str) -> str:
    settings = {k: v for k, v in (run.get("network", {}).get(part) or {}).items() if v is not None}
    name = str(settings.pop("name", ""))
    return name + (f"({', '.join(f'{k}={v}' for k, v in settings.items())})" if settings else "")


def changed_of(run: Run) -> dict[str, Any]:
    """Return what of a run is not its experiment's own; nothing where it has a name of its own."""
    return run.get("changed", {}) if run["name"] == run.get("experiment", run["name"]) else {}


def variant_of(run: Run) -> str:
    """Say what of a run is not its experiment's own, in one line."""
    return ", ".join(variants_of(run))


def variants_of(run: Run) -> list[str]:
    """List what of a run is not its experiment's own, ``["cross_fit=5"]``.

    A part of another kind is named by its class, ``stage2.loss=Poly1``, without its settings.
    """
    changed = changed_of(run)
    parts = {k.removesuffix("._target_"): str(v).rsplit(".", 1)[-1] for k, v in changed.items() if "_target_" in k}
    rest = {k: v for k, v in changed.items() if not k.startswith(tuple(f"{part}." for part in parts))}
    bins = run.get("n_bins", N_BINS)  # an ECE of other bins is another number, and no row has both
    every = {**parts, **rest, **({"metric.ece.n_bins": bins} if bins != N_BINS else {})}
    return ["grid" if k == "grid" else f"{k}={v}" for k, v in sorted(every.items())]


def numbers_of(measured: Mapping[str, Any]) -> dict[str, float]:
    """Take the metrics of a stage's split that tables show; NaN where one is missing.

    Raises:
        TypeError: one is no number.
    """
    values = {m: math.nan if measured.get(m) is None else measured[m] + 0.0 for m in MEASURED}
    return {m: value if math.isfinite(value) else math.nan for m, value in values.items()}


def check(run: Run) -> None:
    """Refuse what is no run's results.

    Raises:
        Exception: whatever a part that is missing or of another kind leads to.
    """
    wanted = {"seed": int, "device": str, "split_seed": int, **Group.__annotations__}
    found = {"split_seed": 0, **run["dataset"], **run["environment"], "seed": run["seed"], **group_of(run)._asdict()}
    for name, kind in wanted.items():
        if not isinstance(found[name], kind):
            raise TypeError(f"{name} is {found[name]!r}")
    for part in (run["stage1"], run.get("stage2") or {}, *(run.get("calibrated") or {}).values()):
        for split in part.keys() & {"val", "test"}:
            numbers_of(part[split])


def plain(text: object) -> str:
    """Show by its number what would end a line, steer a terminal, turn the order of letters or be no UTF-8."""
    return NO_LETTER.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Gather what has one key, all in their order."""
    found: dict[Key, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found
