import math
import sys

import numpy as np
import pytest
from PIL import Image

from lt_calib.dataset.__main__ import check, main
from lt_calib.dataset.audit import gini


def scene(seed, size=(48, 40)):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def root(tmp_path):
    for split, counts in {"train": {"many": 12, "some": 4, "one": 1}, "test": {"many": 3, "some": 1}}.items():
        for name, n in counts.items():
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for i in range(n):
                scene(1000 * sum(name.encode()) + 100 * len(split) + i).save(folder / f"{i}.png")
    scene(1).save(tmp_path / "train" / "many" / "copy.png")
    scene(1).save(tmp_path / "test" / "some" / "copied.png")  # identical, under another label
    scene(2, (96, 80)).save(tmp_path / "train" / "some" / "large.png")
    scene(2, (96, 80)).resize((50, 42)).save(tmp_path / "test" / "some" / "small.jpg")  # the same scene
    (tmp_path / "train" / "many" / "broken.png").write_bytes(b"no image")
    return tmp_path


def test_gini_by_hand():
    assert gini(np.array([5, 5, 5])) == 0
    assert gini(np.array([1, 3])) == 1 / 4  # (-1 * 1 + 1 * 3) / (2 * 4)


def test_the_audit_names_what_is_wrong(root, capsys):
    check(["dataset=folder", f"dataset.root={root}"], root / "out")
    said = capsys.readouterr().out
    p = np.array([14, 5, 1]) / 20
    effective = math.exp(-(p * np.log(p)).sum())
    for part in (
        "3 classes, 20 training images: 14 to 1 per class",
        f"imbalance factor 14, Gini coefficient 0.43, effective number of classes {effective:.1f} of 3",
        "test: 6 images, 3 to 0 per class: not balanced; classes without one, 1: one",
        "cannot be read: 1",
        "broken.png",
        "identical files in several splits: 1 (train/many/copy.png = test/some/copied.png)",
        "identical files under several labels: 1",
        "pairs that look alike across splits: 1 (train/some/large.png ~ test/some/small.jpg)",
        "2 classes have fewer than 30 test images",
        "reaches 50 points to each side with 3 (",
        "no balanced validation part can be held out, since the smallest class has 1",
    ):
        assert part in said, part
    page = (root / "out" / "check.html").read_text()
    assert page.count("<img") == 3
    assert "train/many/copy.png = test/some/copied.png" in page


def test_settings_that_are_wrong_end_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["lt_calib.dataset", "check", "dataset=folder", f"dataset.root={tmp_path}/gone"])
    with pytest.raises(SystemExit, match="is no folder"):
        main()
