from typing import Any

import pandas as pd
import pytest

from lt_calib.dataset.table import table
from lt_calib.errors import InputError
from tests.dataset.test_folder import data_of, paint

NAMES = ["a.png", "b, c.png", "d.png", "e.png"]


@pytest.fixture
def root(tmp_path):
    for name in NAMES:
        paint(tmp_path / name)
    return tmp_path


def write(root, **columns):
    pd.DataFrame({"image": NAMES, **columns}).to_csv(root / "images.csv", index=False)
    return str(root)


def test_columns_of_any_name(root):
    frame = {"path": NAMES, "species": ["elk", "fox", "fox", "elk"], "part": ["Train", "train", "training", "TEST"]}
    pd.DataFrame(frame).to_csv(root / "t.tsv", sep="\t", index=False)
    source: Any = table(str(root), file="t.tsv", columns={"image": "path", "label": "species", "split": "part"})
    assert source.class_names == ("fox", "elk")
    assert source.train_targets.tolist() == [1, 0, 0]
    assert source.train_images.names == tuple(NAMES[:3])
    assert source.test_targets.tolist() == [1]


def test_numbers_stay_and_a_column_names_them(root):
    write(root, label=[1, 0, 0, 1], **{"class": ["b", "a", "a", "b"]})
    source: Any = table(str(root), file="images.csv")
    assert source.class_names == ("a", "b")
    assert source.train_targets.tolist() == [1, 0, 0, 1]


def test_groups_are_not_torn_apart(tmp_path):
    rows = [(f"{g}_{i}.png", f"class{g % 3}", f"patient{g}") for g in range(20) for i in range(1 + g % 4)]
    for name, _, _ in rows:
        paint(tmp_path / name)
    pd.DataFrame(rows, columns=["image", "label", "patient"]).to_csv(tmp_path / "t.csv", index=False)
    for seed in range(3):
        data = data_of(lambda root: table(root, file="t.csv", columns={"group": "patient"}), tmp_path, split_seed=seed)
        listing = pd.DataFrame(data.listing())
        assert set(listing.groupby("group")["split"].nunique()) == {1}
        assert len(listing) == len(rows)
        assert min(data.class_counts) > 0
        assert 0.05 < listing["split"].tolist().count("test") / len(rows) < 0.4
    with pytest.raises(InputError, match="groups, which a held-out part would tear apart"):
        data_of(lambda root: table(root, file="t.csv", columns={"group": "patient"}), tmp_path, val_per_class=1)


@pytest.mark.parametrize(
    ("columns", "called", "said"),
    [
        ({}, {}, "no column 'label': set dataset.columns.label to one of image"),
        ({"label": [0, 0, 0, 0]}, {"group": "patient"}, "no column 'patient'"),
        ({"label": ["a", None, "a", "a"]}, {}, r"1 rows have no label \(label\), row 2 the first"),
        ({"label": [0, 0, 0, 0], "split": ["train", "holdout", "test", "test"]}, {}, "split has holdout"),
        ({"label": [1, 1, 2, 2]}, {}, "1 of 3 classes have no training image: 0"),
        (
            {"label": [0, 0, 0, 0], "split": ["train", "train", "train", "test"], "group": ["x", "y", "z", "x"]},
            {},
            "1 groups stand in train and in test: x",
        ),
    ],
)
def test_tables_that_are_wrong(columns, called, said, root):
    with pytest.raises(InputError, match=said):
        table(write(root, **columns), file="images.csv", columns=called)


def test_a_file_that_is_no_table(root):
    (root / "t.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read as a table"):
        table(str(root), file="t.parquet")
