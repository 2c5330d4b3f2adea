"""In the figures that compare, one row is one line (of the curves: one a seed)."""

import copy

import pytest
from matplotlib.figure import Figure

from lt_calib.report import figures
from lt_calib.report.figures import draw_comparisons, names
from lt_calib.report.rows import summarise
from tests.report.test_tables import run

KINDS = ("accuracy_against_ece", "reliability_curves", "risk_coverage_curves", "true_class_histograms")


@pytest.fixture
def drawn(monkeypatch):
    """Kind of figure -> the names of the lines of each that was drawn."""
    found: dict[str, list[list[str]]] = {kind: [] for kind in KINDS}
    for kind in KINDS:
        monkeypatch.setattr(
            figures, kind, lambda models, *rest, kind=kind: found[kind].append(list(models)) or Figure()
        )
    monkeypatch.setattr(figures, "save", lambda figure, path: [path.with_suffix(".png")])
    return found


CHANGES = {
    "precision": {"environment": {"device": "cpu", "precision": "bf16-mixed"}},
    "stage 2": {"stage2": {"epochs": 7}},
    "classifier": {"network": {"backbone": {"name": "ResNet32"}, "classifier": {}}},
    "settings": {"settings": "other"},
    "held in a name": {"name": "ce, eps=1"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_row_has_its_own_line(tmp_path, drawn, change):
    one = run(tmp_path / "0", "ce", 2.0) | {"changed": {"eps": 1} if change == "held in a name" else {}}
    other = run(tmp_path / "1", "ce", 1.0, noise=1) | {"settings": one["settings"]} | copy.deepcopy(CHANGES[change])
    for ours in (one, other):
        if ours["stage2"]:
            ours["stage2"]["test"] = ours["stage1"]["test"]
    rows = summarise([one, other])
    draw_comparisons(rows, tmp_path)
    (points,) = drawn["accuracy_against_ece"]
    assert len(points) == len(set(points)) == len(rows)
    for kind in KINDS[1:]:
        assert [len(models) for models in drawn[kind]] == ([] if change == "stage 2" else [2])


def test_the_names_say_what_tells_the_rows_apart(tmp_path):
    runs = [run(tmp_path / str(i), "ce", 2.0) | {"settings": "s"} for i in range(2)]
    runs[1]["environment"] = {"device": "cpu", "precision": "bf16-mixed"}
    assert sorted(names({row.group for row in summarise(runs)}).values()) == [
        "Cross-entropy (precision 32-true)", "Cross-entropy (precision bf16-mixed)",
    ]  # fmt: skip
    assert list(names({row.group for row in summarise(runs[:1])}).values()) == ["Cross-entropy"]


def test_no_row_is_lost_to_the_seeds_of_another(tmp_path, drawn):
    runs = [run(tmp_path, name, 2.0, seed) for name in "abcd" for seed in range(3)]
    draw_comparisons(summarise(runs), tmp_path)
    (models,) = drawn["reliability_curves"]
    assert models == [f"{name}, stage 1, seed {seed}" for seed in range(2) for name in "abcd"]


def test_no_figure_is_written_over_another(tmp_path, drawn):
    runs = [run(tmp_path / str(i), "ce", 2.0) for i in range(2)]
    for ours, name in zip(runs, ("a b", "a_b"), strict=True):
        ours["dataset"]["name"] = name
    paths = draw_comparisons(summarise(runs), tmp_path)
    assert len(paths) == len(set(paths)) == 2
