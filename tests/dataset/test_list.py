from typing import Any

import pytest
import torch

from lt_calib.dataset.list import listed
from lt_calib.errors import InputError
from tests.dataset.test_folder import paint


@pytest.fixture
def root(tmp_path):
    for name in ("one two/1.png", "b/2.png", "c.png"):
        paint(tmp_path / name)
    return tmp_path


def test_labels_that_are_numbers_stay(root):
    (root / "train.txt").write_text("c.png 1\none two/1.png 0\nb/2.png 1\n\n")
    (root / "test.txt").write_text("b/2.png 1\n")
    source: Any = listed(str(root), train="train.txt", test=str(root / "test.txt"))
    assert source.train_targets.tolist() == [1, 0, 1]
    assert source.train_images.names == ("c.png", "one two/1.png", "b/2.png")
    assert source.class_names == ("0", "1")
    assert source.remarks == ("classes without a test image, 1: 0",)
    (root / "classes.txt").write_text("cat\ndog\n")
    assert listed(str(root), train="train.txt").class_names == ("cat", "dog")


def test_labels_that_are_names(root):
    (root / "train.txt").write_text("c.png fox\nb/2.png fox\none two/1.png elk\n")
    (root / "val.txt").write_text("b/2.png elk\n")
    source: Any = listed(str(root), train="train.txt", val="val.txt")
    assert source.class_names == ("fox", "elk")
    assert source.test_images is None
    assert torch.equal(source.val_targets, torch.tensor([1]))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("c.png 0\nb/2.png 2\n", "1 of 3 classes have no training image: 1"),
        ("c.png 0\ngone.png 0\n", "1 of 2 images are not there"),
        ("c.png\n", "line 1: 'c.png' is no path and label"),
        ("", "no training image"),
    ],
)
def test_lists_that_are_wrong(lines, said, root):
    (root / "train.txt").write_text(lines)
    with pytest.raises(InputError, match=said):
        listed(str(root), train="train.txt")


def test_a_list_that_is_not_there(root):
    with pytest.raises(InputError, match=r"dataset.test=gone.txt is no file"):
        listed(str(root), train="train.txt" if (root / "train.txt").write_text("c.png 0\n") else "", test="gone.txt")
