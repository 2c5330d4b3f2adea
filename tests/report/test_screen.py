import io
import re
from typing import Any

import pytest
from rich.console import Console

from lt_calib.report.columns import columns_of, usual
from lt_calib.report.rows import summarise
from lt_calib.report.screen import print_rows, print_table
from lt_calib.report.table import Table
from tests.report.test_tables import run, several

KINDS = ["temperature", "class_temperature"]


def printed(rows, columns=None, width: int = 80) -> str:
    stream = io.StringIO()
    print_rows(rows, columns or usual(rows), "test set", Console(file=stream, width=width))
    return stream.getvalue()


@pytest.fixture
def rows(tmp_path):
    """Rows of two methods and three seeds, one with a long name, another with calibrators."""
    long: Any = several(tmp_path, "cut_thumbnail_las_class_balanced", 2.0)
    runs: Any = several(tmp_path, "ce", 1.5)
    for one in long:
        one["changed"] = {"stage2.loss.eps_head": 0.2}
    for one, kind in [(one, kind) for one in runs for kind in KINDS]:
        runs = [*runs, one | {"calibrated": {"stage1": {"method": kind, "test": one["stage1"]["test"]}}}]
    return summarise([*runs, *long])


def test_it_fits_80_columns_and_cuts_no_number(rows):
    text = printed(rows)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for row in rows:
        for metric, scale, digits in (("acc", 100, 2), ("nll", 1, 3)):
            assert f" {scale * row.mean(metric):.{digits}f} " in text
            assert f" ± {scale * row.values[metric].std():.{digits}f} " in text
    assert text.count("5.00 (1.2, 1.7)") == 4
    assert len(re.findall(r"^ +Cross-entropy +1 +3 ", text, re.MULTILINE)) == 1


@pytest.mark.parametrize("width", [40, 10])
def test_a_narrow_screen_gets_whole_numbers(rows, width):
    assert printed(rows, width=width).count("5.00 (1.2, 1.7)") == 4


def test_what_is_asked_for_is_shown(rows):
    text = printed(rows, columns_of(["experiment", "published", "acc"], rows), 120)
    assert "ce " in text
    assert "70.40 (-), 4.6" in text
    assert "NLL" not in text


def test_other_data_and_factors_have_their_own_table(tmp_path):
    rows = summarise([run(tmp_path, "ce", 2.0, factor=factor) for factor in (10, 100)])
    text = printed(rows)
    assert [text.count(f"cifar10_lt, IF {factor}, ResNet32, 200 epochs of stage 1") for factor in (10, 100)] == [1, 1]
    assert text.count("percent") == 1


def test_texts_of_any_table_are_plain():
    stream = io.StringIO()
    print_table(Table("[red]title[/]", ["[/]"], [[":smile: $a_{$"]]), Console(file=stream, width=80))
    assert all(text in stream.getvalue() for text in ("[red]title[/]", "[/]", ":smile: $a_{$"))
