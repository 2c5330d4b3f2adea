"""A damaged or foreign file costs itself, and nothing else; a file may be named itself."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from lt_calib.errors import InputError
from lt_calib.report.__main__ import main
from lt_calib.report.read import logits_of, read_runs
from lt_calib.report.rows import summarise
from lt_calib.report.surface import surfaces
from tests.report.test_surface import run_with_grid
from tests.report.test_tables import run, several


def kept(content: dict) -> Path:
    """Write a run's results.json into its folder."""
    path = content["folder"] / "results.json"
    path.write_text(json.dumps({k: v for k, v in content.items() if k not in ("folder", "file")}))
    return path


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


WRONG = {
    "stage1": [5, None, [], {"test": {}}, {"epochs": 200, "test": 3}, {"epochs": 200, "test": {"acc": "high"}}],
    "stage2": [{"test": {}}, [1]],
    "dataset": [None, {"name": "d"}, {"name": ["d"], "imbalance_factor": 1}, {"name": "d", "imbalance_factor": "ten"},
                {"name": "d", "imbalance_factor": 1, "split_seed": []}],
    "environment": [{}, {"device": {}, "precision": "32-true"}, {"device": "cpu", "precision": None}],
    "seed": [None, "0"],
    "name": [None, 7],
    "network": ["ResNet32", {"backbone": 5}],
    "changed": ["all"],
    "settings": [3],
    "calibrated": [[1], {"stage1": {"test": {"acc": []}}}],
}  # fmt: skip


def test_whatever_a_file_holds_it_costs_itself(tmp_path, caplog):
    good = kept(run(tmp_path, "good", 2.0))
    sound = json.loads(good.read_text())
    bad = {f"{key}{i}": json.dumps(sound | {key: value}) for key in WRONG for i, value in enumerate(WRONG[key])}
    bad |= {"cut": good.read_text()[:100], "deep": '{"stage1":' + "[" * 100_000, "old": '{"schema": 1, "stage1": 0}'}
    for name, text in bad.items():
        (tmp_path / f"{name}.json").write_text(text)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "other.json").write_text("[1]")  # of something else: no word
    runs = read_runs([tmp_path])
    assert [one["file"] for one in runs] == ["results.json"]
    for name in (*bad, "bytes"):
        assert caplog.text.count(f"not counted: {tmp_path / name}.json ") == 1, name
    assert len(caplog.records) == len(bad) + 1
    assert [row.group.method for row in summarise(runs)] == ["good"]


def test_what_is_no_number_is_missing(tmp_path):
    path = kept(run(tmp_path, "ce", 2.0))
    path.write_text(path.read_text().replace('"ece": 0.05', '"ece": NaN'))
    (row,) = summarise(read_runs([path]))
    assert np.isnan(row.mean("ece"))
    assert not np.isnan(row.mean("acc"))


@pytest.mark.parametrize("kind", ["cut", "text", "classes", "rows", "nan"])
def test_damaged_logits_are_those_of_one_run(tmp_path, caplog, monkeypatch, capsys, kind):
    good, bad = several(tmp_path, "good", 3.0), several(tmp_path, "bad", 1.0, noise=1)
    for one in (*good, *bad):
        kept(one)
    path = good[0]["folder"] / "predictions.npz"
    arrays = dict(np.load(path))
    if kind == "cut":
        cut(path)
    elif kind == "text":
        path.write_text("no arrays")
    else:
        change = {
            "classes": {"stage1_test_logits": arrays["stage1_test_logits"][:, :5]},
            "rows": {"test_targets": arrays["test_targets"][:-1]},
            "nan": {"stage1_test_logits": np.full_like(arrays["stage1_test_logits"], np.nan)},
        }[kind]
        np.savez(path, **arrays | change)
    assert logits_of(good[0], "stage1", "test") is None
    monkeypatch.setattr("sys.argv", ["report", str(tmp_path)])
    main()
    assert caplog.text.count(f"not counted: {path}") == 1  # however many tables would use it
    printed = capsys.readouterr().out
    assert re.findall(r"^ +(good|bad) +1 +(\d) ", printed, re.MULTILINE) == [("bad", "3"), ("good", "3")]
    assert {row.group.method: row.bold for row in summarise(good + bad)}["good"] == {"acc", "nll"}  # by two seeds


def test_a_damaged_grid_costs_its_points(tmp_path, caplog):
    runs = [run_with_grid(tmp_path / str(seed), seed, [0.5], 0) for seed in range(4)]
    cut(tmp_path / "0" / "grid.json")
    (tmp_path / "1" / "grid.json").write_text("[3]")
    (tmp_path / "2" / "grid.json").write_text('{"points": [{"test": {"acc": "high"}, "settings": {}}], "select": 0}')
    (table,) = surfaces(runs)
    assert [line[-1] for line in table.lines] == ["0: 50.00 / 3.00 / 0.700 (1) (chosen by 1)"]
    assert [f"not counted: {tmp_path / str(i)}" in caplog.text for i in range(4)] == [True, True, True, False]


def test_a_file_is_named_itself(tmp_path, caplog, monkeypatch):
    paths = [kept(run(tmp_path, name, 2.0)) for name in ("a", "b")]
    assert [one["name"] for one in read_runs([paths[0]])] == ["a"]
    assert [one["name"] for one in read_runs([*paths, tmp_path])] == ["a", "b"]  # once each
    assert logits_of(read_runs([paths[0]])[0], "stage1", "test") is not None
    copy = tmp_path / "a_plain_seed0.JSON"
    copy.write_text(paths[0].read_text())
    assert [one["file"] for one in read_runs([copy])] == [copy.name]
    other = tmp_path / "other.json"
    other.write_text("[1]")
    assert read_runs([other, paths[0].with_name("predictions.npz")]) == []
    assert f"not counted: {other} holds no run's results" in caplog.text
    assert "predictions.npz is damaged or none of lt_calib's" in caplog.text
    monkeypatch.setattr("sys.argv", ["report", str(other)])
    with pytest.raises(SystemExit, match="no finished run"):
        main()
    with pytest.raises(InputError, match="is not there"):
        read_runs([tmp_path / "results.json"])


@pytest.mark.parametrize(
    ("name", "text"), [("grid.json", "{"), ("grid.json", "[]"), ("results.json", "{"), ("grid.npz", "no arrays")]
)
def test_a_point_of_damaged_files_names_the_file(tmp_path, monkeypatch, name, text):
    ours = run_with_grid(tmp_path / "run", 0, [0.5], 0) | {"schema": 2}
    path = kept(ours)
    (tmp_path / "run" / name).write_text(text)
    monkeypatch.setattr("sys.argv", ["report", str(path), "--point", "0"])
    with pytest.raises(SystemExit, match=str(tmp_path / "run" / name)):
        main()
