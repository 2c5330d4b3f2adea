import io
import re

import pytest
from rich.console import Console

from lt_calib.job.screen import COLUMNS, in_short, print_table, show

TEST = {
    "acc": 1.0, "ece": 0.1234, "ece_floor_mean": 0.0123, "ece_floor_q95": 0.0177, "nll": 12.345, "acc_head": 1.0,
    "acc_medium": 1.0, "acc_tail": 0.6712,
}  # fmt: skip


def printed(width: int, test: dict, name: str = "n", method: str = "class_temperature") -> str:
    stage = {"epochs": 200, "test": test}
    results = {
        "name": name, "seed": 0, "dataset": {"name": "d", "imbalance_factor": 100}, "stage1": stage, "stage2": stage,
        "calibrated": {"stage1": {"method": method, "test": test}, "stage2": {"method": method, "test": test}},
    }  # fmt: skip
    stream = io.StringIO()
    print_table(results, Console(file=stream, width=width))
    return stream.getvalue()


@pytest.mark.parametrize("width", [200, 80, 40, 10])
@pytest.mark.parametrize("method", ["class_temperature", "AnotherOneOfOnesOwn[bold]"])
def test_no_number_is_cut(width, method):
    text = printed(width, TEST, method=method)
    for key in COLUMNS:
        assert text.count(show(key, TEST)) >= 4, key
    assert "…" not in text
    words = re.sub(r"\s", "", text)
    assert words.count("class") == 3 * (method == "class_temperature") or "[bold]" in text
    if width >= 80 and method == "class_temperature":
        assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("name", ["cost $a_{$ b", "[red]x[/red]", "[/]", ":smile:", "a|b"])
def test_names_are_plain_text(name):
    assert name in printed(120, TEST, name=name, method=name)


def test_what_is_not_measured_has_no_column():
    text = printed(80, {"nll": 1.25, "aurc": 0.1})
    assert text.count("1.250") == 4
    assert not re.search(r"\bacc\b|tail  ", text)
    assert "stage" in printed(80, {"aurc": 0.1})


def test_the_last_row_is_told_in_a_sentence():
    within = TEST | {"ece": 0.0176, "overconf": 0.01}
    assert "can be taken at its word" in in_short(within)
    above = in_short(TEST | {"overconf": -0.1})
    assert "10.0 points not sure enough" in above
    assert "12.3 %" in above
    assert "10.0 points too sure" in in_short(TEST | {"overconf": 0.1})
    assert in_short({"acc": 1.0, "ece": 0.1}) == ""
    assert printed(80, within).count("In short, of 2 class temperature:") == 1


def test_a_choice_says_what_was_chosen():
    stage = {"epochs": 1, "test": TEST}
    chosen = {"stage1": {"method": "select", "parameters": {"chosen": "count_temperature"}, "test": TEST}}
    results = {"name": "n", "seed": 0, "dataset": {"name": "d", "imbalance_factor": 9}, "stage2": None}
    stream = io.StringIO()
    print_table(results | {"stage1": stage, "calibrated": chosen}, Console(file=stream, width=200))
    assert "1 select: count temperature" in stream.getvalue()
