from typing import Any

import pytest

from lt_calib.figure.groups import group_bars
from lt_calib.figure.style import save

STAGE = {"acc_head": 0.9, "acc_medium": 0.8, "acc_tail": None, "ece_head": 0.01, "ece_medium": 0.02, "ece_tail": None}


def test_bars_are_percent_and_an_empty_group_has_none(tmp_path):
    figure: Any = group_bars({"stage1": STAGE, "stage2": STAGE}, "title")
    accuracy, ece = figure.axes
    assert [bar.get_height() for bar in accuracy.patches] == pytest.approx([90, 80, 90, 80])
    assert [bar.get_height() for bar in ece.patches] == pytest.approx([1, 2, 1, 2])
    paths = save(figure, tmp_path / "figures" / "groups")
    assert [path.suffix for path in paths] == [".png", ".svg"]
    assert all(path.stat().st_size > 1000 for path in paths)
