import re
from typing import Any

import pytest

from lt_calib.dataset.imagenet_lt import imagenet_lt
from lt_calib.errors import InputError
from tests.dataset.trees import imagenet, write_images, write_list

NAMED = {split: f"ImageNet_LT_{split}.txt" for split in ("train", "val", "test")}


@pytest.fixture(params=["folders", "flat"])
def root(request, tmp_path):
    """Of three classes, the validation images in folders of classes or flat."""
    lines = imagenet([3, 2, 1])
    for split, name in NAMED.items():
        write_list(tmp_path / name, lines[split])
        flat = [(re.sub(r"^val/n\d+/", "val/", path), c) for path, c in lines[split]]
        write_images(tmp_path, flat if request.param == "flat" else lines[split])
    return tmp_path


def test_both_layouts_of_the_validation_images(root, request):
    source: Any = imagenet_lt(str(root), **NAMED)
    assert source.train_targets.tolist() == [0, 0, 0, 1, 1, 2]
    assert source.test_targets.tolist() == source.val_targets.tolist() == [0, 1, 2]
    assert source.class_names == ("n01440764", "n01440775", "n01440786")
    assert source.test_images.read(2).size == (10, 8)
    (first, *_) = source.test_images.names
    flat = "flat" in request.node.name
    assert first == ("val/" if flat else "val/n01440764/") + "ILSVRC2012_val_00000000.JPEG"
    assert [remark for remark in source.remarks if "no list known here" in remark] == list(source.remarks)


def test_an_image_or_a_list_that_is_not_there_names_archive_and_list(root):
    next((root / "train" / "n01440775").iterdir()).unlink()
    with pytest.raises(InputError, match=r"1 of 12 images are not below.*n01440775_.*ILSVRC2012_img_train\.tar"):
        imagenet_lt(str(root), **NAMED)
    with pytest.raises(InputError, match=r"dataset\.test=ImageNet_LT_tset\.txt is no file.*ImageNet_LT_test\.txt"):
        imagenet_lt(str(root), train=NAMED["train"], test="ImageNet_LT_tset.txt")
    with pytest.raises(InputError, match=r"dataset\.root must be given.*ILSVRC2012_img_val\.tar"):
        imagenet_lt("", **NAMED)
