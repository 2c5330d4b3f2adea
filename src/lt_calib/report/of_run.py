"""The page of one run, ``report.html`` in its folder: what to look at first."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from lt_calib.files.checkpoint import write_atomically
from lt_calib.job.screen import shown
from lt_calib.report.formats import html_of
from lt_calib.report.group import plain
from lt_calib.report.page import NAME, figure, folded, html_page, items, titled
from lt_calib.report.table import Table

log = logging.getLogger("lt_calib.report")

FIRST = (  # figures that are not folded away, in this order
    "stage2_calibrated_reliability", "stage2_reliability", "stage1_calibrated_reliability", "stage1_reliability",
    "groups", "by_frequency", "training", "grid",
)  # fmt: skip
FEW = 20  # test images of a class, whose own accuracy says little


def write_page(folder: Path, results: Mapping[str, Any]) -> None:
    """Write a run's page into its folder; one that fails costs itself alone, a run's results do not depend on it.

    Args:
        folder: Of the run, with its figures.
        results: Content of results.json.
    """
    try:
        text = page_of_run(folder, results)
        write_atomically(folder / NAME, lambda stream: stream.write(text.encode()))
    except OSError:  # of the disk, which the results need too
        raise
    except Exception as error:
        log.warning("The page %s is not written: %s: %s", folder / NAME, type(error).__name__, error)
        log.debug("", exc_info=True)


def page_of_run(folder: Path, results: Mapping[str, Any], tables: Sequence[Table] = ()) -> str:
    """Write the page of one run: what to conclude, the table of the screen, doubts, figures and settings.

    Args:
        folder: Of the run, with its figures.
        results: Content of results.json.
        tables: Others, which are folded away.
    """
    told = shown(results)
    figures = sorted((folder / "figures").glob("*.png"), key=lambda path: (_place(path.stem), path.stem))
    lead = [path for path in figures if _place(path.stem) < len(FIRST)]
    advice = [escape(plain(text)) for text in [*told.doubts, *advice_of(results)]]
    changed = results.get("changed", {})
    said = f"<p>Of experiment {escape(plain(results.get('experiment', results['name'])))}"
    own = html_of(Table("", ["setting", "value"], [[key, _text(value)] for key, value in changed.items()]))
    return html_page(
        plain(told.run),
        [
            f'<p class="lead">{escape(plain(told.sentence))}</p>' if told.sentence else "",
            html_of(Table("", told.head, told.lines)),
            f'<p class="note">{escape(told.caption)}.</p>',
            "<h2>To bear in mind</h2>" + items(advice) if advice else "",
            "<h2>Figures</h2>" + "".join(map(figure, lead)) if lead else "",
            folded("More figures", *(figure(path) for path in figures if path not in lead)),
            "<h2>Settings</h2>" + (f"{said}, but for</p>{own}" if changed else f"{said}, as it stands.</p>"),
            html_of(Table("", ["of the run", ""], [[name, _text(value)] for name, value in _facts(results)])),
            folded("More tables", *titled(tables)),
        ],
    )


def advice_of(results: Mapping[str, Any]) -> Iterator[str]:
    """Say what a reader of one run's numbers should bear in mind, and what to do about it."""
    last = results["stage2"] or results["stage1"]
    test, least = last["test"], last["test"].get("ece_floor_q95")
    if not results["calibrated"] and least is not None and test.get("ece", 0.0) > least:
        yield (
            "The confidence is not calibrated. Images that are held out can mend that, and the accuracy stays: "
            "dataset.val_per_class=10 posthoc=temperature, or of a frozen network cross_fit=5 posthoc=temperature."
        )
    counts = [n for n in last.get("test_per_class", {}).get("count", ()) if n]
    if counts and min(counts) < FEW:
        few = sum(n < FEW for n in counts)
        yield f"{few} of {len(counts)} classes have fewer than {FEW} test images: what is said of each alone is rough."
    yield "This is one seed. Train a few, -m seed=0,1,2, and compare their means: python -m lt_calib.report FOLDER."


def _facts(results: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    data, recipe = results["dataset"], results.get("recipe") or {}
    counts = data.get("class_counts", [])
    if counts:
        yield "training images", f"{sum(counts)} of {len(counts)} classes, {max(counts)} to {min(counts)} per class"
    held = data.get("val_fraction", 0)
    yield "held out per class", f"{100 * held:g} %" if held else data.get("val_per_class", 0)
    yield from ((part, settings) for part, settings in results.get("network", {}).items())
    yield from ((f"stage 1: {key.replace('_', ' ')}", value) for key, value in recipe.items())
    for stage in ("stage1", "stage2"):
        if results[stage] and "seconds" in results[stage]:
            yield f"stage {stage[-1]}", f"{results[stage]['epochs']} epochs in {results[stage]['seconds']:.0f} s"
    yield from ((name, value) for name, value in results["environment"].items() if value)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        name, rest = value.get("name", ""), [f"{k}={v}" for k, v in value.items() if k != "name"]
        return f"{name} ({', '.join(rest)})" if name and rest else name or ", ".join(rest)
    return value if isinstance(value, str) else json.dumps(value)


def _place(name: str) -> int:
    return FIRST.index(name) if name in FIRST else len(FIRST)
