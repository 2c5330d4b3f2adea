"""Images a second from JPEG files: the loader of data that do not fit in memory, beside torchvision's ImageFolder."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.dataset.folder import folder
from lt_calib.dataset.streamed import usual_workers
from lt_calib.sampler.instance_balanced import InstanceBalanced
from lt_calib.transform.resized_crop import ResizedCrop

SIZE, NUMBER, TEST = (500, 400), 256, 2
QUALITIES = (75, 90)  # what is decoded at a reduced scale is unpacked as a whole, and takes longer the larger the file
REPEATS, BATCH = 5, 64
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
WANTED = {224: 1.0, 64: 2.0}


def write_images(top: Path, quality: int) -> float:
    """Write noise whose amplitude falls as 1 / frequency, as that of photographs does; return the files' mean kB."""
    rng, (width, height) = np.random.default_rng(0), SIZE
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    sizes = []
    for i in range(NUMBER + TEST):
        noise = np.fft.rfft2(rng.standard_normal((3, height, width))) / frequency
        bands = np.fft.irfft2(noise, s=(height, width))
        bands = bands / bands.std(axis=(1, 2), keepdims=True)
        grey, *colors = bands
        pixels = np.stack([grey + 0.3 * colors[0], grey, grey + 0.3 * colors[1]], axis=-1) * 50 + 120
        path = top / ("train" if i < NUMBER else "test") / str(i % 2) / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=quality)
        sizes.append(path.stat().st_size)
    return statistics.mean(sizes) / 1000


def ours(top: Path, size: int, workers: int) -> Callable[[], Any]:
    """Build this package's loader; each call is an epoch."""
    data = LongTailedDataModule(
        folder, root=str(top), imbalance_factor=None, size=size, transform=ResizedCrop(MEAN, STD, size=size),
        batch_size=BATCH, resident_below=0, num_workers=workers,
    )  # fmt: skip
    data.setup()
    loader = data.loader("train", InstanceBalanced(data.targets("train"), num_classes=2, seed=0))
    epochs = count()

    def epoch() -> Iterator[Any]:
        loader.set_epoch(next(epochs))
        return iter(loader)

    return epoch


def torchvisions(top: Path, size: int, workers: int) -> Callable[[], Any]:
    """Build ImageFolder and DataLoader with the same transforms; each call is an epoch."""
    crop, flip = transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip()
    transform = transforms.Compose([crop, flip, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    loader = DataLoader(
        ImageFolder(str(top / "train"), transform), BATCH, shuffle=True, num_workers=workers, persistent_workers=True
    )
    return lambda: iter(loader)


def images_per_second(epoch: Callable[[], Any]) -> float:
    """Measure one epoch."""
    start = time.perf_counter()
    seen = sum(len(targets) for _, targets in epoch())
    return seen / (time.perf_counter() - start)


def main() -> None:
    """Measure in turns and print medians and ratios."""
    workers = usual_workers()
    for quality in QUALITIES:
        with tempfile.TemporaryDirectory() as written:
            kilobytes = write_images(Path(written), quality)
            print(f"{NUMBER} JPEGs of {SIZE[0]} x {SIZE[1]}, {kilobytes:.0f} kB each, {workers} workers:")
            for size, wanted in WANTED.items():
                measure(Path(written), size, workers, wanted)


def measure(top: Path, size: int, workers: int, wanted: float) -> None:
    """Measure at one size; the first epoch of each starts the workers and does not count."""
    epochs = {"lt_calib": ours(top, size, workers), "ImageFolder": torchvisions(top, size, workers)}
    rows: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(REPEATS + 1):
        for name, epoch in epochs.items():
            rows[name].append(images_per_second(epoch))
    rows = {name: values[1:] for name, values in rows.items()}
    for name, values in rows.items():
        print(f"  {name:12} {statistics.median(values):7.1f} images/s ({', '.join(f'{v:.1f}' for v in values)})")
    ratio = statistics.median(a / b for a, b in zip(*rows.values(), strict=True))
    print(f"  at {size} pixels: lt_calib / ImageFolder {ratio:.2f}   (>= {wanted})", flush=True)


if __name__ == "__main__":
    main()
