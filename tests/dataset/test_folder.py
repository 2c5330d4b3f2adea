import csv
import os

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.dataset.digits import digits
from lt_calib.dataset.folder import folder
from lt_calib.dataset.list import listed
from lt_calib.dataset.table import table
from lt_calib.errors import InputError


def data_of(source, root="", **settings):
    module = LongTailedDataModule(source, root=str(root), **{"imbalance_factor": None, "size": 32, **settings})
    module.setup()
    return module


def paint(path, value=0, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)
    return path


@pytest.fixture(scope="module")
def tail():
    return data_of(digits, imbalance_factor=10)


@pytest.fixture(scope="module")
def written(tail, tmp_path_factory):
    """The long-tailed digits as PNG files of every layout that is read."""
    top = tmp_path_factory.mktemp("digits of my own")
    rows = []
    for split in ("train", "test"):
        for i, (image, label) in enumerate(zip(tail.raw(split), tail.targets(split).tolist(), strict=True)):
            path = top / split / str(label) / f"{i:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.numpy()).save(path)
            rows.append((f"{split}/{label}/{i:04}.png", label, split))
    for split in ("train", "test"):
        (top / f"{split}.txt").write_text("".join(f"{p} {y}\n" for p, y, s in rows if s == split))
    frame = pd.DataFrame(rows, columns=["image", "label", "split"])
    frame.to_csv(top / "images.csv", index=False)
    frame["image"] = [{"bytes": (top / p).read_bytes(), "path": p} for p in frame["image"]]
    frame.to_parquet(top / "images.parquet")
    return top


@pytest.mark.parametrize("kind", ["folder", "list", "csv", "parquet"])
def test_the_same_images_are_the_same_data(kind, tail, written):
    source = {
        "folder": folder,
        "list": lambda root: listed(root, train="train.txt", test="test.txt"),
        "csv": lambda root: table(root, file="images.csv"),
        "parquet": lambda root: table(root, file="images.parquet"),
    }[kind]
    mine = data_of(source, written)
    assert mine.class_names == tail.class_names
    assert mine.class_counts == tail.class_counts
    assert torch.equal(mine.raw("train"), tail.raw("train"))
    assert torch.equal(mine.targets("train"), tail.targets("train"))
    assert mine.facts["sha256"] == tail.facts["sha256"]
    assert mine.imbalance_factor == max(tail.class_counts) / min(tail.class_counts)
    order = np.argsort(tail.targets("test").numpy(), kind="stable") if kind == "folder" else np.arange(500)
    assert torch.equal(mine.raw("test"), tail.raw("test")[order])


@pytest.mark.parametrize("settings", [{}, {"imbalance_factor": 30}, {"val_per_class": 3}, {"test_fraction": 0.3}])
def test_the_list_of_a_run_gives_the_same_run(settings, written, tmp_path):
    first = data_of(lambda root: folder(f"{root}/train"), written, **settings)
    rows = first.listing()
    assert len(rows) == sum(len(first.targets(split)) for split in first.splits)
    with (tmp_path / "split.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    again = data_of(lambda root: table(f"{root}/train", file=str(tmp_path / "split.csv")), written)
    assert again.class_names == first.class_names
    assert set(again.splits) == set(first.splits)
    for split in first.splits:
        assert torch.equal(again.raw(split), first.raw(split))
        assert torch.equal(again.targets(split), first.targets(split))


def test_one_tree_is_split_and_every_class_keeps_an_image(tmp_path):
    counts = {"many": 20, "few": 3, "two": 2, "one": 1}
    for name, n in counts.items():
        for i in range(n):
            paint(tmp_path / name / f"{i}.png", i)
    data = data_of(folder, tmp_path)
    assert data.class_names == ("many", "few", "two", "one")
    assert data.class_counts == [16, 2, 2, 1]  # round(0.2 n) are split off: 4, 1, 0, 0
    assert torch.bincount(data.targets("test"), minlength=4).tolist() == [4, 1, 0, 0]
    named = [row["image"] for row in data.listing()]
    assert len(named) == len(set(named)) == 26
    assert data.listing() == data_of(folder, tmp_path).listing() != data_of(folder, tmp_path, split_seed=1).listing()


def test_what_is_no_image_of_a_class_is_left_out_and_counted(tmp_path):
    for split in ("train", "test"):
        for name in ("a b", "ü"):
            paint(tmp_path / split / name / "1.png")
    for left in ("train/a b/.DS_Store", "train/a b/Thumbs.db", "train/ü/notes.txt", "train/.cache/1.png"):
        (tmp_path / left).parent.mkdir(exist_ok=True)
        (tmp_path / left).write_bytes(b"")
    paint(tmp_path / "train" / "__MACOSX" / "1.png")
    paint(tmp_path / "train" / "stray.png")
    paint(tmp_path / "extra" / "a b" / "1.png")
    os.symlink(tmp_path / "extra" / "a b" / "1.png", tmp_path / "train" / "ü" / "link.png")
    os.symlink(tmp_path / "train", tmp_path / "train" / "ü" / "loop")
    source = folder(str(tmp_path))
    assert source.class_names == ("ü", "a b")  # the larger first
    assert torch.bincount(source.train_targets).tolist() == [2, 1]
    said = "; ".join(source.remarks)
    for part in ("left by a system: 4", "no image by the ending .txt: 1", "extra", "no class's"):
        assert part in said


def test_a_classes_file_orders_the_classes(tmp_path):
    for name in ("10", "9", "2"):
        paint(tmp_path / "train" / name / "1.png")
    assert folder(str(tmp_path)).class_names == ("2", "9", "10")  # numbers are sorted as such
    (tmp_path / "classes.txt").write_text("9\n10\n2\n")
    assert folder(str(tmp_path)).class_names == ("9", "10", "2")
    (tmp_path / "classes.txt").write_text("9\n10\n2\n7\n")
    with pytest.raises(InputError, match="1 of 4 classes have no training image: 7"):
        folder(str(tmp_path))


def test_classes_of_the_test_set(tmp_path):
    for path in ("train/a/1.png", "train/b/1.png", "test/a/1.png"):
        paint(tmp_path / path)
    assert folder(str(tmp_path)).remarks == ("classes without a test image, 1: b",)
    paint(tmp_path / "test" / "c" / "1.png")
    with pytest.raises(InputError, match=r"the test images have 1 classes that no training image has.*: c"):
        folder(str(tmp_path))


def test_folders_that_are_none(tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        folder(str(tmp_path / "gone"))
    with pytest.raises(InputError, match="holds no image in a folder of its class"):
        folder(str(tmp_path))
    paint(tmp_path / "test" / "a" / "1.png")
    with pytest.raises(InputError, match="has test and no train"):
        folder(str(tmp_path))


def test_images_that_cannot_be_read(tmp_path, caplog):
    for i in range(6):
        paint(tmp_path / "train" / "a" / f"{i}.png", i)
        paint(tmp_path / "test" / "a" / f"{i}.png", i)
    paint(tmp_path / "train" / "a" / "thin.png", size=(1, 9))
    whole = (tmp_path / "train" / "a" / "1.png").read_bytes()
    (tmp_path / "train" / "a" / "3.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "train" / "a" / "empty.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"3 of 8 images cannot be read: .*3\.png.*dataset.skip_broken=true"):
        data_of(folder, tmp_path)
    data = data_of(folder, tmp_path, skip_broken=True)
    assert data.class_counts == [5]
    assert [row["image"] for row in data.listing()][:5] == [f"train/a/{i}.png" for i in (0, 1, 2, 4, 5)]
    assert sorted(data.raw("train")[:, 0, 0, 0].tolist()) == [0, 1, 2, 4, 5]
    assert "3 of 8 images cannot be read and are left out" in caplog.text


def test_a_limit_of_memory(tmp_path, caplog):
    for split in ("train", "test"):
        paint(tmp_path / split / "a" / "1.png")
    assert data_of(folder, tmp_path, resident_below="6.2 kB").raw("train").shape == (1, 32, 32, 3)  # 2 x 32 x 32 x 3
    with pytest.raises(InputError, match="resident_below=6kB"):
        data_of(folder, tmp_path, resident_below="6kB").raw("train")
    with pytest.raises(InputError, match="must be a size such as 4GB"):
        data_of(folder, tmp_path, resident_below="much")
    for limit in ("4GB", 0):
        with pytest.raises(InputError, match=r"dataset.size=null"):
            data_of(folder, tmp_path, size=None, resident_below=limit)
