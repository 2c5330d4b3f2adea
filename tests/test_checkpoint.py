import os
import sys
from importlib import import_module

import pytest
import torch
from torch import nn

from lt_calib.errors import InputError
from lt_calib.files.checkpoint import load_stage, save_stage, write_atomically
from lt_calib.files.folder import check_writable

DATA = {"name": "d", "val_per_class": 0}


def parts(k: int = 3) -> tuple[nn.Module, nn.Module]:
    return nn.Linear(4, 4), nn.Linear(4, k)


def test_round_trip(tmp_path):
    one, two = parts(), parts()
    save_stage(tmp_path / "a.ckpt", *one, {"data": DATA, "epochs": 3, "history": [{"loss": 1.5}]})
    assert load_stage(tmp_path / "a.ckpt", *two, DATA) == {"data": DATA, "epochs": 3, "history": [{"loss": 1.5}]}
    assert torch.equal(one[1].weight, two[1].weight)  # type: ignore[arg-type]
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]


def test_a_write_that_breaks_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def broken(stream):
        stream.write(b"half")
        raise OSError("disk full")

    with pytest.raises(InputError, match="file could not be written: disk full"):
        write_atomically(path, broken)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_where_nothing_can_be_removed_either_the_first_error_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/new could not be written: .*Not a directory"):
        write_atomically(tmp_path / "file" / "new", lambda stream: stream.write(b""))


def test_what_is_to_be_written_is_tried(tmp_path):
    check_writable(tmp_path / "new" / "deep", "a.csv")
    assert list((tmp_path / "new" / "deep").iterdir()) == []
    (tmp_path / "file").write_text("old")
    check_writable(tmp_path, "file")  # may be there
    assert (tmp_path / "file").read_text() == "old"
    with pytest.raises(InputError, match=r"file cannot be written to \(File exists\): take one that can"):
        check_writable(tmp_path / "file")
    with pytest.raises(InputError, match=r"file/deep cannot be written to \(Not a directory\)"):
        check_writable(tmp_path / "file" / "deep", "a.csv")
    with pytest.raises(InputError, match=r"cannot be written to \(new is a folder\)"):
        check_writable(tmp_path, "file", "new")
    with pytest.raises(InputError, match="File name too long"):
        check_writable(tmp_path, "n" * 250)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("predict", ["RUN", "IMAGES", "--out", "FILE/a.csv"]),
        ("predict", ["RUN", "IMAGES", "--out", "IMAGES"]),
        ("predict", ["RUN", "--export", "FILE/a.pt2"]),
        ("report.__main__", ["RUN", "--out", "FILE/report"]),
        ("campaign.__main__", ["short", "--results", "FILE"]),
    ],
)
def test_every_command_tries_it_before_its_work(tmp_path, monkeypatch, command, arguments):
    """RUN holds no run, which would be said by what comes after."""
    places = {"RUN": tmp_path / "run", "IMAGES": tmp_path / "images", "FILE": tmp_path / "file"}
    places["RUN"].mkdir()
    places["IMAGES"].mkdir()
    places["FILE"].write_text("")
    for name, place in places.items():
        arguments = [a.replace(name, str(place)) for a in arguments]
    module = import_module(f"lt_calib.{command}")
    monkeypatch.setattr(sys, "argv", [command, *arguments])
    with pytest.raises(SystemExit, match=r"cannot be written to \((Not a directory|File exists|images is a folder)\)"):
        module.main()


def test_bad_checkpoints(tmp_path):
    path = tmp_path / "a.ckpt"
    with pytest.raises(InputError, match="is not there"):
        load_stage(path, *parts(), DATA)
    save_stage(path, *parts(), {"data": DATA})
    with pytest.raises(InputError, match=r"another model: classifier.bias is \(3,\) in the file and \(5,\) here"):
        load_stage(path, *parts(5), DATA)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="cannot be read"):
        load_stage(path, *parts(), DATA)
    for damaged in (b"", b"stage,epoch,loss\n1,1,2.0\n", b"seed: 0\n", b"PK\x03\x04"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.ckpt cannot be read"):
            load_stage(path, *parts(), DATA)
    for content in ({}, {"backbone": {}}, {"backbone": {"weight": 1}, "classifier": {}}, {"backbone": [1]}):
        torch.save({"schema": 1, "data": DATA, **content}, path)
        with pytest.raises(InputError, match=r"holds no (backbone|classifier)|another model"):
            load_stage(path, *parts(), DATA)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(InputError, match="none of lt_calib's"):
        load_stage(path, *parts(), DATA)


def test_a_malicious_pickle_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    torch.save({"schema": 1, "backbone": Bomb()}, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="cannot be read"):
        load_stage(tmp_path / "a.ckpt", *parts(), DATA)
    assert not (tmp_path / "exploded").exists()


def test_a_stage_1_of_other_data_is_refused(tmp_path):
    """It may have been trained on what is now the validation part."""
    save_stage(tmp_path / "a.ckpt", *parts(), {"data": DATA})
    with pytest.raises(InputError, match="other data: val_per_class was 0, here it is 20"):
        load_stage(tmp_path / "a.ckpt", *parts(), DATA | {"val_per_class": 20})
    save_stage(tmp_path / "b.ckpt", *parts(), {"data": DATA | {"sha256": "1"}})
    with pytest.raises(InputError, match="other data: sha256 was 1, here it is 2"):  # the same name and other images
        load_stage(tmp_path / "b.ckpt", *parts(), DATA | {"sha256": "2"})
    load_stage(tmp_path / "a.ckpt", *parts(), DATA | {"sha256": "2"})  # of a version that did not keep it
