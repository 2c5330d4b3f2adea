import numpy as np
import pytest
import torch

from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.dataset.features import features
from lt_calib.errors import InputError

RNG = np.random.default_rng(0)
TRAIN, TEST = RNG.normal(size=(6, 4)), RNG.normal(size=(3, 4))
LABELS, TEST_LABELS = np.array([0, 0, 0, 1, 1, 2]), np.array([2, 1, 0])
ARRAYS = {"train_features": TRAIN, "train_targets": LABELS, "test_features": TEST, "test_targets": TEST_LABELS}


def written(folder, kind, arrays):
    if kind == "npy":
        (folder / "e").mkdir(exist_ok=True)
        for name, array in arrays.items():
            np.save(folder / "e" / f"{name}.npy", array)
        return folder / "e"
    path = folder / f"e.{kind}"
    if kind == "npz":
        np.savez(path, **arrays)
    elif kind == "safetensors":
        from safetensors.numpy import save_file

        save_file(arrays, path)
    else:
        import pandas as pd

        frames = [
            pd.DataFrame({"features": list(arrays[f"{s}_features"]), "label": arrays[f"{s}_targets"], "split": s})
            for s in ("train", "test")
        ]
        pd.concat(frames).to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["npz", "npy", "safetensors", "parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path, kind):
    pytest.importorskip({"safetensors": "safetensors", "parquet": "pyarrow"}.get(kind, "numpy"))
    source = features("", file=str(written(tmp_path, kind, ARRAYS)))
    assert source.class_names == ("0", "1", "2")
    for found, array in ((source.train_images, TRAIN), (source.test_images, TEST)):
        assert isinstance(found, torch.Tensor)
        assert found.dtype == torch.float32
        assert found.numpy().tolist() == array.astype(np.float32).tolist()
    assert source.train_targets.tolist() == LABELS.tolist()
    assert source.test_targets is not None
    assert source.test_targets.tolist() == TEST_LABELS.tolist()


def test_names_are_ordered_by_training_rows(tmp_path):
    names = np.array(["fox", "owl", "owl", "elk", "elk", "elk"])
    arrays = {**ARRAYS, "train_targets": names, "test_targets": np.array(["elk", "fox", "owl"])}
    source = features("", file=str(written(tmp_path, "npz", arrays)))
    assert source.class_names == ("elk", "owl", "fox")
    assert source.train_targets.tolist() == [2, 1, 1, 0, 0, 0]
    assert source.test_targets is not None
    assert source.test_targets.tolist() == [0, 2, 1]


def test_data_of_features_have_their_natural_counts_and_a_test_set_of_their_own(tmp_path):
    many = {"train_features": RNG.normal(size=(60, 4)), "train_targets": np.repeat([0, 1, 2], [40, 15, 5])}
    path = written(tmp_path, "npz", many)
    data = LongTailedDataModule(lambda root: features(root, file=str(path)), imbalance_factor=None, groups="by_count")
    data.setup()
    assert (data.num_features, data.image_shape) == (4, (4,))
    assert data.class_counts == [32, 12, 4]
    assert len(data.targets("test")) == 12
    rows, targets = next(iter(data.loader("test")))
    assert rows.equal(data.raw("test"))
    assert targets.equal(data.targets("test"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"train_features": np.where(np.arange(6)[:, None] == 4, np.nan, TRAIN)}, "1 rows are not finite, row 4"),
        ({"train_targets": LABELS[:5]}, r"train_targets \(5,\) must be \(6,\)"),
        ({"test_targets": np.array([2, 3, 0])}, "test_targets has 3 in row 1"),
        ({"test_targets": np.array([2, -1, 0])}, "test_targets has -1 in row 1"),
        ({"train_targets": np.array([0, 0, 0, 3, 3, 2])}, "1 of 4 classes have no training row: 1"),
        ({"test_features": TEST[:, :3]}, r"must be \(N, D\)"),
        ({"train_group": np.arange(5)}, "5 values in train_group for 6"),
        ({"trian_features": TEST}, "trian_features, which nothing reads"),
        ({"test_features": np.array([["a"] * 4] * 3)}, "numbers are wanted"),
        ({"test_targets": None}, "test_features and no test_targets"),
        ({"train_targets": None}, "wanted are train_features"),
    ],
)
def test_what_is_wrong_is_named_with_its_row(tmp_path, changed, said):
    arrays = {name: array for name, array in {**ARRAYS, **changed}.items() if array is not None}
    with pytest.raises(InputError, match=said):
        features("", file=str(written(tmp_path, "npz", arrays)))


def test_what_is_no_file_of_features_is_refused(tmp_path):
    (tmp_path / "e.npz").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="cannot be read"):
        features("", file=str(tmp_path / "e.npz"))
    (tmp_path / "e.csv").write_text("1,2")
    with pytest.raises(InputError, match=r"must be \.npz"):
        features("", file=str(tmp_path / "e.csv"))
    with pytest.raises(InputError, match=r"dataset\.file must be given"):
        features("", file="")
