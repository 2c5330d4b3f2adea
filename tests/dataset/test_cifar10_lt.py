import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from lt_calib.dataset.cifar import cifar10, cifar100
from lt_calib.errors import InputError

ROOT = os.environ.get("LT_CALIB_DATA", "data")


def real(folder: str) -> None:
    if not (Path(ROOT) / folder).is_dir():
        pytest.skip(f"no {folder} in LT_CALIB_DATA")


@pytest.mark.parametrize(
    ("source", "folder", "k"), [(cifar10, "cifar-10-batches-py", 10), (cifar100, "cifar-100-python", 100)]
)
def test_the_real_files(source, folder, k):
    real(folder)
    data = source(ROOT)
    assert data.train_images.shape == (50000, 32, 32, 3)
    assert torch.bincount(data.train_targets).tolist() == [50000 // k] * k
    assert torch.bincount(data.test_targets).tolist() == [10000 // k] * k
    assert len(data.class_names) == k


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", refuse)


@pytest.mark.usefixtures("no_network")
def test_neither_files_nor_network(tmp_path):
    with pytest.raises(InputError) as error:
        cifar10(str(tmp_path / "nowhere"))
    message = str(error.value)
    assert str(tmp_path / "nowhere" / "cifar-10-batches-py") in message
    assert all(way in message for way in ("dataset.root=", "dataset=digits_lt", "network"))
    assert len(message.splitlines()) <= 6


@pytest.mark.usefixtures("no_network")
def test_a_tampered_file_is_not_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in ["batches.meta", "test_batch", *(f"data_batch_{i}" for i in range(1, 6))]:
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match="incomplete or damaged"):
        cifar10(str(tmp_path))
    assert not (tmp_path / "exploded").exists()


def test_published_split_of_the_real_labels():
    real("cifar-10-batches-py")
    from lt_calib.dataset.long_tail import class_counts, select_indices

    targets = cifar10(ROOT).train_targets.numpy()
    chosen = select_indices(targets, class_counts(5000, 10, 100))
    assert len(chosen) == 12406
    rng = np.random.RandomState(0)
    first = np.where(targets == 0)[0]
    rng.shuffle(first)
    assert np.array_equal(chosen[:5000], first[:5000])


@pytest.mark.usefixtures("no_network")
def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path / "cifar-10-batches-py").mkdir()

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", refuse)
    monkeypatch.setattr("os.access", lambda *a: False)
    with pytest.raises(InputError, match=r"cifar-10-batches-py is not readable by you \(check its permissions\)"):
        cifar10(str(tmp_path))
