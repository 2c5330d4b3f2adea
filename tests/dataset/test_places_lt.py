from typing import Any

import pytest

from lt_calib.dataset.places_lt import places_lt
from tests.dataset.trees import PLACES, places, write_images, write_list

NAMED = {split: f"Places_LT_{split}.txt" for split in ("train", "test")}
COUNTS = [3] * 9 + [1] * 66


@pytest.mark.parametrize("on_disk", ["easy", "standard"])
@pytest.mark.parametrize("listed", ["easy", "standard"])
def test_both_dialects_on_both_layouts(listed, on_disk, tmp_path):
    lines, there = places(COUNTS, listed == "easy"), places(COUNTS, on_disk == "easy")
    for split, name in NAMED.items():
        write_list(tmp_path / name, lines[split])
        write_images(tmp_path, there[split])
    source: Any = places_lt(str(tmp_path), **NAMED)
    assert source.train_images.names == tuple(path for path, _ in there["train"])
    assert source.test_images.names == tuple(path for path, _ in there["test"])
    assert source.train_targets.bincount().tolist() == COUNTS
    assert {c: source.class_names[c] for c in PLACES} == PLACES
