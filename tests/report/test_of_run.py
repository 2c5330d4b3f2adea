import re
from typing import Any

import pytest

from lt_calib.report.of_run import advice_of, page_of_run, write_page
from tests.report.test_tables import run

PNG = b"\x89PNG not really"


@pytest.fixture
def results(tmp_path) -> dict[str, Any]:
    one: Any = run(tmp_path, "<b>mine", 2.0)
    (one["folder"] / "figures").mkdir()
    for name in ("confusion", "stage1_reliability", "groups"):
        (one["folder"] / "figures" / f"{name}.png").write_bytes(PNG)
    one["dataset"] |= {"class_counts": [100, 7]}
    return one | {"changed": {"stage1.lr": 0.05, "augment._target_": "a.b.<i>"}, "experiment": "ce"}


def test_it_holds_table_sentence_figures_settings_and_nothing_from_elsewhere(results):
    text = page_of_run(results["folder"], results)
    assert "cannot be taken at its word" in text
    assert "5.00 (1.2, 1.7)" in text
    assert re.findall(r'alt="([^"]+)"', text) == ["stage 1 reliability", "groups", "confusion"]
    assert text.index('alt="groups"') < text.index("<details>") < text.index('alt="confusion"')
    assert "<td>stage1.lr</td><td>0.05</td>" in text
    assert "107 of 2 classes, 100 to 7 per class" in text
    assert "<b>mine" not in text
    assert "<i>" not in text
    assert "http" not in text
    assert "prefers-color-scheme: dark" in text


def test_doubts_and_advice_are_in_it(results):
    test = results["stage1"]["test"]
    doubted = {"method": "vector", "test": test, "doubts": ["fitted to 3 <images>"]}
    text = page_of_run(results["folder"], results | {"calibrated": {"stage1": doubted}})
    assert "1 vector: fitted to 3 &lt;images&gt;" in text
    assert "posthoc=temperature" not in text  # it is calibrated
    assert "posthoc=temperature" in page_of_run(results["folder"], results)


def test_advice_by_what_was_measured(results):
    calm = results | {"stage1": {**results["stage1"], "test": results["stage1"]["test"] | {"ece": 0.01}}}
    assert len(list(advice_of(calm))) == 1  # of the seeds alone
    calm["stage1"]["test_per_class"] = {"count": [0, 3, 500]}
    assert next(iter(advice_of(calm))).startswith("1 of 2 classes have fewer than 20 test images")


def test_a_page_that_fails_costs_itself(results, caplog):
    write_page(results["folder"], results)
    assert (results["folder"] / "report.html").read_text().startswith("<!doctype html>")
    (results["folder"] / "report.html").unlink()
    caplog.set_level("WARNING", "lt_calib")
    write_page(results["folder"], {"dataset": {}})
    assert "is not written: KeyError" in caplog.text
    assert not (results["folder"] / "report.html").exists()
