import pytest

from lt_calib.errors import InputError
from lt_calib.report.columns import by_setting, chosen, columns_of, usual
from lt_calib.report.rows import summarise
from tests.report.test_tables import run, several


def of(runs, names: str) -> list[list[str]]:
    rows = summarise(runs)
    return [[column.plain(row) for column in columns_of(names.split(","), rows)] for row in rows]


def test_columns_by_name(tmp_path):
    runs = several(tmp_path, "mislas", 2.0, seeds=2)
    for acc, one in zip((0.5, 0.6), runs, strict=True):
        one["stage1"]["test"] |= {"acc": acc, "brier": 0.25}
    (cells,) = of(runs, "method,experiment,stage,seeds,if,acc,ece,brier,tail")
    assert cells == [
        "MiSLAS", "mislas", "1", "2", "100", "55.00 ± 7.07", "5.00 ± 0.00 (1.2, 1.7)", "0.250 ± 0.000", "-",
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"--columns acuracy: there are method, .*acc.*brier"):
        columns_of(["acuracy"], summarise(runs))


def test_what_no_run_measured_is_not_usual(tmp_path):
    one = run(tmp_path, "ce", 2.0)
    assert [column.metric for column in usual(summarise([one]))] == ["", "", "", "acc", "ece", "nll"]


def test_a_metric_of_one_run_is_open_for_the_other(tmp_path):
    one, other = run(tmp_path, "ce", 2.0), run(tmp_path, "mislas", 2.0)
    other["stage1"]["test"]["brier"] = 0.5
    assert [line[0] for line in of([one, other], "brier")] == ["-", "0.500"]


def test_rows_are_chosen_by_name_and_stage(tmp_path):
    ce, mislas = run(tmp_path, "ce", 2.0), run(tmp_path, "mislas", 2.0)
    mislas["stage2"] = {"epochs": 10, "test": mislas["stage1"]["test"]}
    mislas["calibrated"] = {s: {"method": "temperature", "test": ce["stage1"]["test"]} for s in ("stage1", "stage2")}

    def names(pattern, stage):
        found = chosen(summarise([ce, mislas]), pattern, stage, "test")
        return [(row.group.method, row.stage) for row in found]

    both = [("mislas", "2"), ("mislas", "2 + temperature")]
    assert names("MiSLAS", "last") == names("^mislas", "last") == both
    assert names("cross-ENTROPY", None) == [("ce", "1")]
    assert names(None, "1") == [("ce", "1"), ("mislas", "1")]
    assert names(None, "2") == both[:1]
    assert names(None, "calibrated") == [("mislas", "1 + temperature"), both[1]]
    assert names(None, "last") == [("ce", "1"), *both]
    with pytest.raises(InputError, match="leaves no row of ce, mislas"):
        names("cutmix", None)
    with pytest.raises(InputError, match="no regular expression"):
        names("(", None)


def test_the_best_of_the_chosen_is_bold(tmp_path):
    runs = [r for n, (name, skill) in enumerate([("a", 3.0), ("b", 2.0), ("c", 1.0)])
            for r in several(tmp_path, name, skill, noise=n)]  # fmt: skip
    rows = summarise(runs)
    assert [row.bold for row in rows] == [{"acc", "nll"}, set(), set()]
    assert [row.bold for row in chosen(rows, "b|c", None, "test")] == [{"acc", "nll"}, set()]


def test_one_table_a_setting(tmp_path):
    runs = [run(tmp_path, name, 2.0, factor=factor) for name in ("ce", "mislas") for factor in (10, 100)]
    assert [len(mine) for mine in by_setting(summarise(runs)).values()] == [2, 2]


def test_what_is_changed_of_all_stands_in_the_title(tmp_path):
    changed = {"ce": {"cross_fit": 5}, "mislas": {"cross_fit": 5, "stage2.lr": 0.2}}
    runs = [run(tmp_path, name, 2.0) | {"experiment": name, "changed": of} for name, of in changed.items()]
    ((title, rows),) = by_setting(summarise(runs)).items()
    assert title.endswith("epochs of stage 1, cross_fit=5")
    assert {row.group.method: row.group.variant for row in rows} == {"ce": "", "mislas": "stage2.lr=0.2"}
    ((title, (alone, *_)),) = by_setting(summarise(runs[:1])).items()
    assert "cross_fit" not in title
    assert alone.group.variant == "cross_fit=5"
