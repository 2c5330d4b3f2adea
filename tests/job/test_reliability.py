"""The table by predicted class."""

import csv

import pytest

from lt_calib.errors import InputError
from lt_calib.job.reliability import reliability_table


def row(count: int, confidence: float = 0.0, low: float = 0.0, high: float = 0.0) -> dict[str, float | int | None]:
    if not count:
        return {"count": 0, "confidence": None, "acc": None, "low": None, "high": None}
    return {"count": count, "confidence": confidence, "acc": (low + high) / 2, "low": low, "high": high}


def results_of(classes: list, **others) -> dict:
    found = {"groups": {"head": classes[0]}, "classes": classes}
    dataset = {"class_names": [f"class {c}" for c in range(len(classes))], "class_counts": [1] * len(classes)}
    return {"dataset": dataset, "stage1": {"test_by_predicted": found}, "stage2": None, "calibrated": None, **others}


def test_what_is_too_sure_comes_first_and_is_marked(tmp_path):
    results = results_of([row(50, 0.8, 0.7, 0.9), row(40, 0.9, 0.5, 0.7), row(0)])
    lines = reliability_table(tmp_path, results)
    assert all(len(line) <= 80 for text in lines for line in text.splitlines())
    shown = [line.split("  ")[0] for line in lines[3:6]]
    assert shown == ["class 1", "class 0", "class 2"]
    assert lines[3].endswith("*")
    assert not lines[4].endswith("*")
    assert "of the 2 classes that are predicted at all, 1 are right" in " ".join(lines[-1].split())
    rows = list(csv.DictReader((tmp_path / "reliability.csv").open()))
    assert [r["predicted"] for r in rows] == ["head", "class 0", "class 1", "class 2"]
    assert rows[2]["confidence"] == "0.9"


def test_a_calibrated_stage_is_the_one_that_is_shown(tmp_path):
    after = results_of([row(9, 0.5, 0.4, 0.6)])["stage1"]
    lines = reliability_table(tmp_path, results_of([row(9, 0.9, 0.4, 0.6)], calibrated={"stage1": after}))
    assert lines[0].startswith("stage1 calibrated")
    assert " 0 are right" in " ".join(lines[-1].split())


def test_a_run_of_before_is_refused(tmp_path):
    with pytest.raises(InputError, match="run it again"):
        reliability_table(tmp_path, {"stage1": {"test": {}}, "stage2": None, "calibrated": None, "dataset": {}})
