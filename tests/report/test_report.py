import copy
import json
import re
from pathlib import Path

import pytest

from lt_calib.errors import InputError
from lt_calib.report.__main__ import main
from lt_calib.report.by_factor import by_factor, hardware_of
from lt_calib.report.formats import markdown
from lt_calib.report.read import read_runs
from lt_calib.report.rows import summarise


def table(runs, split="test"):
    return markdown(summarise(runs, split))


RUN = {
    "schema": 2,
    "name": "m",
    "seed": 0,
    "dataset": {"name": "d", "imbalance_factor": 100, "val_per_class": 0},
    "stage1": {
        "epochs": 30,
        "test": {"acc": 0.5, "ece": 0.1, "nll": 1.5, "acc_head": 0.6, "acc_medium": 0.5, "acc_tail": None},
    },
    "stage2": None,
    "folder": Path("a"),
    "file": "results.json",
    "network": {"backbone": {"name": "ResNet32"}, "classifier": {"name": "Linear"}},
    "environment": {"device": "cpu", "precision": "32-true"},
}


def test_mean_and_standard_deviation_over_seeds():
    other = copy.deepcopy(RUN)
    other["seed"], other["stage1"]["test"]["acc"] = 1, 0.52
    cells = table([other, RUN]).splitlines()[2].strip("| ").split(" | ")
    assert cells[:7] == ["d", "100", "`m`", "30", "ResNet32 + Linear", "1", "51.00 ± 1.41"]
    assert cells[7:12] == ["10.00 ± 0.00", "1.500 ± 0.000", "60.00 ± 0.00", "50.00 ± 0.00", "-"]
    assert cells[12:] == ["0, 1", "cpu, 32-true"]


def test_over_confidence_is_signed_and_has_no_column_where_no_run_measured_it():
    assert "over-confidence" not in table([RUN])
    other = copy.deepcopy(RUN)
    other["name"], other["stage1"]["test"]["overconf"] = "n", -0.0321
    head, _, first, second = (line.strip("| ").split(" | ") for line in table([RUN, other]).splitlines())
    assert [line[head.index("over-confidence")] for line in (first, second)] == ["-", "-3.21"]


def test_seeds_of_several_machines_are_averaged_and_the_hardware_is_said():
    runs = []
    for seed, device in enumerate(("H200", "H200", "H100")):
        runs.append(copy.deepcopy(RUN) | {"seed": seed, "environment": {"device": device, "precision": "32-true"}})
    (line,) = table(runs).splitlines()[2:]
    assert line.endswith("| 0, 1, 2 | H200 (2) + H100 (1), 32-true |")
    (row,) = summarise(runs)
    assert hardware_of([row]) == "H100 in 32-true, H200 in 32-true"
    runs[0] |= {"environment": {"device": "H200", "precision": "bf16-mixed"}}
    assert len(table(runs).splitlines()) == 2 + 2


def test_other_splits_are_not_compared_pair_by_pair():
    other = copy.deepcopy(RUN) | {"name": "n", "dataset": {**RUN["dataset"], "split_seed": 1}}
    one, two = summarise([RUN, other])
    assert one.setting != two.setting
    assert one.setting == summarise([copy.deepcopy(RUN) | {"name": "n"}])[0].setting


def test_other_schedules_and_held_out_parts_are_not_averaged():
    longer, held, larger = (copy.deepcopy(RUN) for _ in range(3))
    larger["network"]["backbone"] = {"name": "ResNet50"}
    longer["stage1"]["epochs"] = 200
    held["dataset"]["val_per_class"] = 200
    assert len(table([RUN, longer, held, larger]).splitlines()) == 2 + 4


def test_other_settings_under_one_name_and_copies_of_a_run(caplog):
    other = copy.deepcopy(RUN) | {"settings": "abc", "seed": 1}
    assert len(table([RUN, other]).splitlines()) == 2 + 2
    assert "rows of their own: 2 settings of m, d, IF 100, 30 epochs" in caplog.text
    caplog.clear()
    again = copy.deepcopy(RUN)
    again["stage1"]["seconds"] = 9.0  # the time it took is none of its numbers
    assert table([RUN, again]) == table([RUN])
    assert caplog.text.count("not counted") == 0
    again["stage1"]["test"]["acc"] = 0.6
    assert table([RUN, again]) == table([RUN])
    assert "has the settings and seed of a/results.json, which is, and other numbers" in caplog.text
    partial = copy.deepcopy(RUN)
    del partial["stage1"]["test"]["nll"]
    assert "| - |" in table([partial])


def test_the_validation_part_by_choice():
    held = copy.deepcopy(RUN)
    held["stage1"]["val"] = held["stage1"]["test"] | {"acc": 0.75}
    assert table([RUN, held], "val").splitlines()[2:] == [table([held], "val").splitlines()[2]]
    assert "75.00" in table([RUN, held], "val")


def test_unfinished_runs_are_listed_and_not_counted(tmp_path, monkeypatch, capsys):
    for name in ("a", "b"):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        for folder in (tmp_path / name, tmp_path / name / ".hydra"):
            (folder / "config.yaml").write_text("seed: 0")
    (tmp_path / "a" / "results.json").write_text(json.dumps(RUN | {"folder": None}))
    (tmp_path / "a" / "other.json").write_text("[1]")
    monkeypatch.setattr("sys.argv", ["report", str(tmp_path), str(tmp_path / "a")])
    main()
    printed = capsys.readouterr().out
    assert len(re.findall(r"^ +m +1 +1 +50\.00 ", printed, re.MULTILINE)) == 1  # once, though named twice
    assert f"not finished: {tmp_path / 'b'}" in printed
    assert "not finished: " + str(tmp_path / "a") not in printed
    with pytest.raises(InputError, match="is not there"):
        read_runs([tmp_path / "nowhere"])
    monkeypatch.setattr("sys.argv", ["report", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit, match="is not there"):
        main()


def test_what_is_not_counted_is_said(tmp_path, caplog):
    (tmp_path / "old.json").write_text('{"schema": 0, "stage1": {}}')
    (tmp_path / "older.json").write_text('{"schema": 1, "stage1": {}}')
    (tmp_path / "torn.json").write_text('{"schema": 2, "sta')
    (tmp_path / "other.json").write_text("[1, 2]")
    assert read_runs([tmp_path]) == []
    said = caplog.text
    assert "old.json has schema 0 and not 2: run its job again" in said
    assert "older.json has schema 1 and not 2: python -m lt_calib.convert FOLDER writes it anew" in said
    assert "torn.json is damaged or none of lt_calib's (JSONDecodeError: " in said
    assert "other.json" not in said


def test_the_factor_that_is_stands_beside_the_one_asked_for():
    old, new = copy.deepcopy(RUN), copy.deepcopy(RUN)
    new["seed"], new["dataset"]["real_imbalance_factor"] = 1, 1.27
    (row,) = summarise([old, new])  # one row: they are grouped by what was asked for
    assert markdown([row]).splitlines()[2].startswith("| d | 100 (is 1.3) |")
    (by,) = by_factor([row])
    assert by.head[-1] == "IF 100 (is 1.3)"
    assert table([old]).splitlines()[2].startswith("| d | 100 |")
