import csv
import struct
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from lt_calib.dataset.files import Files
from lt_calib.dataset.torchvision import torchvision_set
from lt_calib.errors import InputError
from lt_calib.run import run
from tests.conftest import compose_config
from tests.dataset.test_folder import paint


def numbered(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, *shape), dtype=np.uint8)


@pytest.fixture
def fashion(tmp_path):
    """Fashion-MNIST in its own format: 40 training and 20 test images of 10 classes."""
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, n in (("train", 40), ("t10k", 20)):
        images, labels = numbered(n, 28, 28), np.arange(n, dtype=np.uint8) % 10
        (raw / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, n, 28, 28) + images.tobytes())
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, n) + labels.tobytes())
    return tmp_path


@pytest.fixture
def no_checksums(monkeypatch):
    for module in ("svhn", "flowers102"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.check_integrity", lambda *a: True)


def test_grey_images_are_shown_in_three_channels(fashion):
    source: Any = torchvision_set(str(fashion), name="FashionMNIST")
    assert source.train_images.shape == (40, 28, 28, 3)
    assert np.array_equal(source.train_images[..., 2], numbered(40, 28, 28))
    assert source.test_targets.tolist() == [*range(10)] * 2
    assert source.class_names[:2] == ("T-shirt/top", "Trouser")
    assert source.val_images is None


@pytest.mark.usefixtures("no_checksums")
def test_channels_first_and_labels_that_count_from_one(tmp_path):
    for split, n in (("train", 12), ("test", 10)):
        images = numbered(n, 32, 32, 3).transpose(1, 2, 3, 0)
        savemat(tmp_path / f"{split}_32x32.mat", {"X": images, "y": np.arange(n)[:, None] % 10 + 1})
    source: Any = torchvision_set(str(tmp_path), name="SVHN")
    assert np.array_equal(source.train_images, numbered(12, 32, 32, 3))
    assert source.test_targets.tolist() == [*range(1, 10), 0]  # its 10 is the digit 0
    assert source.class_names == tuple(map(str, range(10)))


@pytest.mark.usefixtures("no_checksums")
def test_files_and_a_validation_part(tmp_path):
    for i in range(1, 7):
        paint(tmp_path / "flowers-102" / "jpg" / f"image_{i:05d}.jpg")
    savemat(tmp_path / "flowers-102" / "imagelabels.mat", {"labels": [[1, 1, 1, 2, 2, 2]]})
    savemat(tmp_path / "flowers-102" / "setid.mat", {"trnid": [[1, 4]], "valid": [[2, 5]], "tstid": [[6, 3]]})
    source: Any = torchvision_set(str(tmp_path), name="Flowers102")
    assert isinstance(source.train_images, Files)
    assert source.train_images.names == tuple(f"flowers-102/jpg/image_0000{i}.jpg" for i in (1, 4))
    assert (source.val_targets.tolist(), source.test_targets.tolist()) == ([0, 1], [1, 0])
    assert len(source.val_images) == 2


def signs(top, *sizes: int) -> None:
    """GTSRB in its own format, a class per size: one training and one test image of each."""
    for c, size in enumerate(sizes):
        folder = top / "gtsrb" / "GTSRB" / "Training" / f"{c:05d}"
        folder.mkdir(parents=True)
        Image.fromarray(numbered(size, size, 3)).save(folder / "0.ppm")
    tested = top / "gtsrb" / "GTSRB" / "Final_Test" / "Images"
    tested.mkdir(parents=True)
    with (top / "gtsrb" / "GT-final_test.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter=";")
        writer.writerow(["Filename", "ClassId"])
        for c, size in enumerate(sizes):
            Image.fromarray(numbered(size, size, 3)).save(tested / f"{c}.ppm")
            writer.writerow([f"{c}.ppm", c])


def test_images_of_several_sizes_that_are_no_files_of_the_set(tmp_path):
    signs(tmp_path, 9, 12)
    source: Any = torchvision_set(str(tmp_path), name="GTSRB")
    assert isinstance(source.test_images, Files)
    assert np.array_equal(np.asarray(source.test_images.read(1)), numbered(12, 12, 3))
    assert source.class_names == ("0", "1")


def test_images_of_one_size_are_a_tensor(tmp_path):
    signs(tmp_path, 9, 9)
    source: Any = torchvision_set(str(tmp_path), name="GTSRB")
    assert torch.equal(source.train_images[0], torch.from_numpy(numbered(9, 9, 3)))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("svhn", "dataset.set=svhn is no set of torchvision.datasets; the nearest: SVHN"),
        ("", "dataset.set= is no set"),
        ("EuroSAT", "EuroSAT has no splits train and test"),
        ("SVHN", "SVHN: .*the download failed.*no network"),
        ("FER2013", "torchvision does not download"),
    ],
)
def test_what_cannot_be_had(name, said, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.svhn.download_url", refuse)
    with pytest.raises(InputError, match=said):
        torchvision_set(str(tmp_path), name=name)


def test_it_is_cut_and_trained_on(fashion, tmp_path):
    words = [
        "dataset=torchvision",
        "dataset.set=FashionMNIST",
        f"dataset.root={fashion}",
        "dataset.if=4",
        "model=resnet8",
    ]
    words += ["stage1.max_epochs=1", "figures=false", "cache=off", "trainer.accelerator=cpu", "metric=[acc,nll]"]
    results = run(compose_config(*words), tmp_path / "run")
    assert results["dataset"]["class_counts"] == [4, 3, 2, 2, 2, 1, 1, 1, 1, 1]  # int(4 * 4^(-c / 9))
    assert results["dataset"]["image_shape"] == [3, 28, 28]
    assert results["dataset"]["name"] == "FashionMNIST"
