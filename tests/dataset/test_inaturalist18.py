from typing import Any

import pytest

from lt_calib.dataset.inaturalist18 import inaturalist18
from lt_calib.errors import InputError
from tests.dataset.trees import inaturalist, write_images, write_list

NAMED = {"train": "iNaturalist18_train.txt", "test": "iNaturalist18_val.txt"}


def test_labels_are_the_lists_and_names_the_folders(tmp_path):
    lines = inaturalist([2] * 11, "train_val2018")
    for split, name in NAMED.items():
        write_list(tmp_path / name, lines[split])
        write_images(tmp_path, lines[split])
    source: Any = inaturalist18(str(tmp_path), **NAMED)
    assert source.test_targets.tolist() == [*reversed(range(11))]
    assert (source.class_names[2], source.class_names[10]) == ("Aves/2", "Insecta/10")


def test_the_archive_is_named(tmp_path):
    with pytest.raises(InputError, match=r"dataset\.train=iNaturalist18_train\.txt is no file.*train_val2018\.tar\.gz"):
        inaturalist18(str(tmp_path), **NAMED)
