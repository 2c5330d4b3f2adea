"""Images that workers read anew each epoch."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lt_calib.dataset import files
from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.dataset.folder import folder
from lt_calib.dataset.streamed import CHUNK, StreamedLoader, usual_workers
from lt_calib.dataset.table import table
from lt_calib.errors import InputError
from lt_calib.sampler.class_balanced import ClassBalanced
from lt_calib.sampler.instance_balanced import InstanceBalanced
from lt_calib.seed import generator
from lt_calib.transform.crop_flip import CropFlip, normalize
from lt_calib.transform.letterbox import Letterbox
from lt_calib.transform.normalize import Normalize
from lt_calib.transform.resized_crop import ResizedCrop

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]
COUNTS = {"train": (60, 20, 5), "test": (4, 3, 2)}
TRANSFORMS = {
    "crop_flip": CropFlip(MEAN, STD, padding=2),
    "letterbox": Letterbox(MEAN, STD, padding=1),
    "normalize": Normalize(MEAN, STD),
    "resized_crop": ResizedCrop(MEAN, STD, size=16, color_jitter=[0.4, 0.4, 0.4, 0.1]),
}


class OfOnesOwn:
    """No more than the protocol wants."""

    mean, std = MEAN, STD

    def train(self, images, generator):
        shifts = torch.randint(-2, 3, (len(images),), generator=generator)
        moved = torch.stack([image.roll(int(shift), 1) for image, shift in zip(images, shifts, strict=True)])
        return normalize(moved, MEAN, STD)

    def evaluate(self, images):
        return normalize(images, MEAN, STD)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """JPEG and PNG files of mixed sizes, some large enough to be decoded at a reduced scale."""
    top, rng = tmp_path_factory.mktemp("mine"), np.random.default_rng(0)
    for split, counts in COUNTS.items():
        for c, n in enumerate(counts):
            below = top / split / str(c)
            below.mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (3 + i % 4, 4, 3), dtype=np.uint8)
                size = (20 + 13 * (i % 5), 24 + 17 * (i % 7))
                ending = "png" if i % 3 == 0 else "jpg"
                Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(below / f"{i:02}.{ending}")
    return top


def data_of(root, transform: Any = TRANSFORMS["crop_flip"], source=folder, **settings) -> LongTailedDataModule:
    given: dict[str, Any] = {"imbalance_factor": None, "size": 16, "batch_size": 70, "resident_below": 0, **settings}
    data = LongTailedDataModule(source, root=str(root), transform=transform, **{"num_workers": 0, **given})
    data.setup()
    return data


def epoch_of(data, epoch=1, partner=False, **place) -> list[list[torch.Tensor]]:
    loader = data.loader("train", *samplers(data, partner)[:1], partner=samplers(data, partner)[1], **place)
    loader.set_epoch(epoch)
    batches = list(loader)
    assert len(batches) == len(loader)
    loader.close()
    return batches


def samplers(data, partner):
    kinds: dict[str, Any] = {"num_classes": 3, "seed": 3}
    one = InstanceBalanced(data.targets("train"), **kinds)
    return one, ClassBalanced(data.targets("train"), **kinds, purpose="partner") if partner else None


def equal(one, other) -> bool:
    return all(torch.equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


# --- batches ---


@pytest.mark.parametrize("name", TRANSFORMS)
def test_evaluation_is_that_of_data_in_memory(name, images):
    streamed = data_of(images, TRANSFORMS[name])
    resident = data_of(images, TRANSFORMS[name], resident_below="4GB")
    assert streamed.image_shape == resident.image_shape == (3, 16, 16)
    assert streamed.listing() == resident.listing()
    assert streamed.class_counts == resident.class_counts == list(COUNTS["train"])
    assert isinstance(streamed.loader("test"), StreamedLoader)
    assert not isinstance(resident.loader("test"), StreamedLoader)
    for split in ("train", "test"):
        assert equal(streamed.loader(split), resident.loader(split))


@pytest.mark.parametrize("transform", [TRANSFORMS["resized_crop"], OfOnesOwn()])
def test_batches_are_the_same_for_any_number_of_workers(transform, images):
    alone = epoch_of(data_of(images, transform), partner=True)
    assert [len(batch[0]) for batch in alone] == [70, 15]
    assert alone[0][0].dtype == torch.float32
    assert alone[0][0].shape == (70, 3, 16, 16)
    for workers in (1, 2):
        assert equal(epoch_of(data_of(images, transform, num_workers=workers), partner=True), alone)


@pytest.mark.parametrize("world_size", [2, 3])
def test_batches_are_the_same_for_any_number_of_processes(world_size, images):
    data = data_of(images, TRANSFORMS["resized_crop"])
    pieces = [epoch_of(data, partner=True, rank=rank, world_size=world_size) for rank in range(world_size)]
    together = [[torch.cat(parts) for parts in zip(*step, strict=True)] for step in zip(*pieces, strict=True)]
    assert equal(together, epoch_of(data, partner=True))
    loaders = [data.loader("test", rank=rank, world_size=4) for rank in range(4)]  # 9 images: one has none in the end
    data.eval_batch_size = 3
    assert sum(len(targets) for loader in loaders for _, targets in loader) == 9


def test_evaluation_where_a_process_has_no_image_of_the_last_batch(images):
    data = data_of(images, eval_batch_size=4)
    sizes = [[len(x) for x, _ in data.loader("test", rank=rank, world_size=2)] for rank in range(2)]
    assert sizes == [[2, 2, 1], [2, 2, 0]]


def test_workers_stay_and_epochs_differ_and_repeat(images):
    data = data_of(images, TRANSFORMS["resized_crop"], num_workers=2)
    loader: Any = data.loader("train", samplers(data, False)[0])
    first = list(loader)
    workers = loader._loader._iterator._workers
    next(iter(loader))  # an epoch that is left in its midst
    loader.set_epoch(1)
    second = list(loader)
    loader.set_epoch(0)
    assert equal(list(loader), first)
    assert not torch.equal(first[0][0], second[0][0])
    assert loader._loader._iterator._workers is workers
    loader.close()
    assert not any(worker.is_alive() for worker in workers)


def test_an_image_that_is_drawn_twice_is_not_transformed_twice_alike(images):
    data = data_of(images, CropFlip(MEAN, STD, padding=4))
    loader = data.loader("train", ClassBalanced(data.targets("train"), num_classes=3, seed=0))
    (batch, targets), _ = loader  # of the 5 images of the last class some 23 are drawn
    assert len(torch.unique(batch[targets == 2].flatten(1), dim=0)) > 10


def test_the_global_generator_is_left_alone(images):
    state = torch.get_rng_state()
    epoch_of(data_of(images, TRANSFORMS["resized_crop"], num_workers=1))
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_drawn_is_what_the_transform_draws(images):
    data = data_of(images, TRANSFORMS["crop_flip"])
    resident = data_of(images, TRANSFORMS["crop_flip"], resident_below="4GB").raw("train")
    (drawn, _), *_ = epoch_of(data, epoch=4)
    sampler = samplers(data, False)[0]
    sampler.set_epoch(4)
    for place, index in list(enumerate(sampler))[:5]:
        draws = generator(3, "image of sampler", stage=1, epoch=4, step=place)
        assert torch.equal(drawn[place], data.transform.train(resident[index][None], draws)[0])


def test_batches_that_are_larger_than_a_chunk(images):
    assert CHUNK < 70
    data = data_of(images, Normalize(MEAN, STD))
    (drawn, targets), *_ = epoch_of(data)
    resident = data_of(images, Normalize(MEAN, STD), resident_below="4GB")
    wanted, labels = epoch_of(resident)[0]
    assert torch.equal(drawn, wanted)
    assert torch.equal(targets, labels)


def test_an_image_that_is_gone_by_then_is_named(images, tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (20, 20)).save(tmp_path / split / "a" / f"{i}.png")
    data = data_of(tmp_path, num_workers=1)
    (tmp_path / "test" / "a" / "1.png").unlink()
    with pytest.raises(InputError, match=r"^\S*1\.png cannot be read"):
        list(data.loader("test"))


# --- the check at the start ---


def test_the_check_is_remembered_by_path_size_and_time(images, tmp_path, monkeypatch):
    read, whole = [], files.read_image

    def read_image(path, *args, **kwargs):
        read.append(path.name)
        return whole(path, *args, **kwargs)

    monkeypatch.setattr(files, "read_image", read_image)
    first = data_of(images, remember_in=tmp_path)
    assert len(read) == sum(map(sum, COUNTS.values()))
    read.clear()
    assert data_of(images, remember_in=tmp_path).facts == first.facts
    assert not read
    touched = images / "train" / "0" / "00.png"
    before = touched.stat()
    os.utime(touched, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    data_of(images, remember_in=tmp_path)
    assert read == ["00.png"]
    read.clear()
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])  # a damaged file costs what it does not hold
    data_of(images, remember_in=tmp_path)
    assert len(read) == 1


def test_images_that_cannot_be_read_are_refused_and_never_remembered(tmp_path, caplog):
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (20, 20), (i, i, i)).save(tmp_path / split / "a" / f"{i}.jpg")
    broken = tmp_path / "train" / "a" / "2.jpg"
    broken.write_bytes(broken.read_bytes()[:-100])
    Image.new("RGB", (1, 9)).save(tmp_path / "train" / "a" / "thin.png")
    for _ in range(2):
        with pytest.raises(InputError, match=r"2 of 5 images cannot be read: .*2\.jpg.*1 x 9 pixels.*skip_broken=true"):
            data_of(tmp_path, remember_in=tmp_path / "cache")
    data = data_of(tmp_path, remember_in=tmp_path / "cache", skip_broken=True)
    assert [row["image"] for row in data.listing()][:3] == [f"train/a/{i}.jpg" for i in (0, 1, 3)]
    assert "2 of 5 images cannot be read and are left out" in caplog.text
    assert (torch.cat([x for x, _ in data.loader("train")])[:, 0, 0, 0] * 0.2 + 0.4).mul(255).round().tolist() == [
        0,
        1,
        3,
    ]


def test_the_hash_is_of_what_is_trained_on_wherever_it_lies(images, tmp_path):
    first = data_of(images)
    moved = tmp_path / "moved"
    os.symlink(images, moved)
    assert data_of(moved).facts["sha256"] == first.facts["sha256"]
    assert data_of(moved, imbalance_factor=20).facts["sha256"] != first.facts["sha256"]
    import pandas as pd

    rows = [
        {"image": {"bytes": (images / row["image"]).read_bytes(), "path": None}}
        | {k: row[k] for k in ("label", "split")}
        for row in first.listing()
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    encoded = data_of(tmp_path, source=lambda root: table(root, file="rows.parquet"), remember_in=tmp_path / "cache")
    assert encoded.facts["sha256"] == first.facts["sha256"]
    assert equal(epoch_of(encoded), epoch_of(first))
    swapped = images / "train" / "0" / "01.jpg"
    whole = swapped.read_bytes()
    swapped.write_bytes((images / "train" / "0" / "02.jpg").read_bytes())
    try:
        assert data_of(images).facts["sha256"] != first.facts["sha256"]
    finally:
        swapped.write_bytes(whole)


# --- what needs all images at once ---


def test_all_images_at_once_are_refused(images):
    with pytest.raises(InputError, match=r"85 images of train .*resident_below=0.*resample\.space=features"):
        data_of(images).raw("train")
    features = torch.randn(85, 7)
    with_features = data_of(images).with_train(features, data_of(images).targets("train"))
    (drawn, _), *_ = epoch_of(with_features)
    assert drawn.shape == (70, 7)


def test_settings(monkeypatch):
    with pytest.raises(ValueError, match=r"num_workers -1 must be >= 0"):
        LongTailedDataModule(folder, num_workers=-1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(40)), raising=False)
    assert usual_workers() == 16
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert usual_workers() == 5
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "64")
    assert usual_workers() == 1


# --- JPEG at a reduced scale ---


def jpeg(size, orientation=1) -> bytes:
    """A ramp to the right in red, downwards in green."""
    ramp = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    ramp[..., 0] = np.linspace(0, 255, size[0])[None]
    ramp[..., 1] = np.linspace(0, 255, size[1])[:, None]
    stream, exif = io.BytesIO(), Image.Exif()
    exif[274] = orientation
    Image.fromarray(ramp).save(stream, "JPEG", quality=95, exif=exif)
    return stream.getvalue()


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("size", "scale"), [(16, 8), (50, 4), (51, 2), (100, 2), (101, 1)])
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_has_the_pixels(orientation, size, scale):
    found = files.read_image(Path("x"), encoded=jpeg((400, 200), orientation), size=size)
    wanted = (400 // scale, 200 // scale)
    assert found.size == (wanted if orientation == 1 else wanted[::-1])


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [16, 60])
def test_a_part_is_that_of_the_whole_image(orientation, size):
    content, asked = jpeg((400, 200), orientation), []

    def part(width, height):
        asked.append((width, height))
        return width * 0.1, height * 0.3, width * 0.6, height * 0.9

    found = np.asarray(files.read_image(Path("x"), encoded=content, size=size, part=part), dtype=float)
    whole = files.read_image(Path("x"), encoded=content)
    assert asked == [whole.size] == [(400, 200) if orientation == 1 else (200, 400)]
    wanted = np.asarray(whole.resize((size, size), Image.Resampling.BILINEAR, box=part(*whole.size)), dtype=float)
    assert np.abs(found - wanted).mean() < 1.5
    assert np.abs(found - wanted).max() < 8
