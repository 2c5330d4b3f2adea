import json
from typing import Any

import pytest

from lt_calib.dataset.inaturalist17 import inaturalist17
from lt_calib.errors import InputError
from tests.dataset.trees import coco, inaturalist, write_images

NAMED = {"train": "train2017.json", "test": "val2017.json"}


@pytest.fixture
def root(tmp_path):
    lines = inaturalist([3, 1, 2], "train_val_images")
    for split, name in NAMED.items():
        (tmp_path / name).write_text(coco(lines[split], 3))
        write_images(tmp_path, lines[split])
    return tmp_path


def test_annotations(root):
    source: Any = inaturalist17(str(root), **NAMED)
    assert source.train_targets.tolist() == [0, 0, 0, 1, 2, 2]
    assert source.test_targets.tolist() == [2, 1, 0]
    assert source.class_names == ("Species 0", "Species 1", "Species 2")
    assert source.train_images.names[3] == "train_val_images/Insecta/1/000000000000000000000000000003e8.jpg"


def test_ids_of_categories_are_put_in_order(root):
    found = json.loads((root / "train2017.json").read_text())
    for one in found["categories"]:
        one["id"] = 50 - 10 * one["id"]
    for one in found["annotations"]:
        one["category_id"] = 50 - 10 * one["category_id"]
    (root / "train2017.json").write_text(json.dumps(found))
    source: Any = inaturalist17(str(root), train="train2017.json")
    assert source.class_names == ("Species 2", "Species 1", "Species 0")
    assert source.train_targets.tolist() == [2, 2, 2, 1, 0, 0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no json", "is no JSON"),
        ("{}", "must hold images, annotations and categories"),
        (coco([("a.jpg", 5)], 3), "the annotations name 5, which is not there"),
        (coco([("a.jpg", 0), ("b.jpg", 1), ("c.jpg", 2)], 3), "3 of 6 images are not there"),
    ],
)
def test_what_is_wrong_is_said_with_the_archives(content, said, root):
    (root / "train2017.json").write_text(content)
    with pytest.raises(InputError, match=rf"{said}.*train_val_images\.tar\.gz"):
        inaturalist17(str(root), **NAMED)
