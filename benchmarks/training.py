"""Stage 1's pictures a second against a bare loop and against the field's pipeline; stage 2's against stage 1's."""

import contextlib
import io
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.job import configuration, pictures, run
from lt_calib.augment.cutmix import CutMix
from lt_calib.model.resnet_cifar import ResNet32
from lt_calib.training.trainer import resolve_precision
from lt_calib.transform.crop_flip import normalize, random_crop_flip

REPEATS, EPOCHS, BATCH, STEPS = 3, 3, 128, 10
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def network() -> tuple[nn.Module, torch.optim.Optimizer]:
    """Build ResNet-32 with its classifier, and SGD."""
    net = nn.Sequential(ResNet32(), nn.Linear(64, 10))
    return net, torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)


def bare_loop() -> float:
    """Measure forward, backward and SGD step on one resident batch, in the precision and format of the job."""
    net, optimizer = network()
    net = net.to(memory_format=torch.channels_last)
    images = torch.randn(BATCH, 3, 32, 32).to(memory_format=torch.channels_last)
    targets = torch.arange(BATCH) % 10
    bfloat16 = resolve_precision("auto", "cpu") != "32-true"

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = net(images)
        optimizer.zero_grad()
        F.cross_entropy(logits.float(), targets).backward()
        optimizer.step()

    step()
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    return STEPS * BATCH / (time.perf_counter() - start)


class Pictures(Dataset):
    """PIL pictures with torchvision's transforms, one at a time."""

    def __init__(self) -> None:
        source: Any = pictures("")
        self.images = [Image.fromarray(image.numpy()) for image in source.train_images]
        self.targets = source.train_targets.tolist()
        crop, flip = transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()
        self.transform = transforms.Compose([crop, flip, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(self.images[index]), self.targets[index]


def field_pipeline() -> float:
    """Measure the pipeline of most repositories: two workers, float32, channels-first, a plain loop; its 2nd epoch."""
    net, optimizer = network()
    loader = DataLoader(Pictures(), batch_size=BATCH, shuffle=True, num_workers=2)
    start = 0.0
    for _ in range(2):
        start = time.perf_counter()
        for images, targets in loader:
            optimizer.zero_grad()
            F.cross_entropy(net(images), targets).backward()
            optimizer.step()
    return len(loader.dataset) / (time.perf_counter() - start)  # type: ignore[arg-type]


def real_job() -> tuple[float, float]:
    """Measure both stages of the real job, as results.json says."""
    cfg = configuration(f"stage1.max_epochs={EPOCHS}", f"stage2.max_epochs={EPOCHS}", "trainer.accelerator=cpu")
    with contextlib.redirect_stdout(io.StringIO()):
        results = run(cfg)
    return results["stage1"]["images_per_second"], results["stage2"]["images_per_second"]


def milliseconds(of: Callable[[], Any], times: int = 20) -> float:
    """Measure one call, the median of several."""
    every = []
    for _ in range(times):
        start = time.perf_counter()
        of()
        every.append(time.perf_counter() - start)
    return 1000 * statistics.median(every)


def main() -> None:
    """Measure in turns and print medians and ratios."""
    rows: dict[str, list[float]] = {"bare loop": [], "field's pipeline": [], "stage 1": [], "stage 2": []}
    for _ in range(REPEATS):
        rows["bare loop"].append(bare_loop())
        stage1, stage2 = real_job()
        rows["stage 1"].append(stage1)
        rows["stage 2"].append(stage2)
        rows["field's pipeline"].append(field_pipeline())
    middle = {name: statistics.median(values) for name, values in rows.items()}
    for name, values in rows.items():
        print(f"{name:20} {middle[name]:8.1f} images/s   ({', '.join(f'{v:.1f}' for v in values)})")
    ratios = [statistics.median(a / b for a, b in zip(rows["stage 1"], rows[other], strict=True)) for other in rows]
    print(f"stage 1 / bare loop         {ratios[0]:.3f}   (>= 0.93)")
    print(f"stage 1 / field's pipeline  {ratios[1]:.3f}   (>= 2.0)")
    print(f"stage 2 / stage 1           {1 / ratios[3]:.3f}   (>= 2.8)")

    source: Any = pictures("")
    draws = torch.Generator().manual_seed(0)
    batch = source.train_images[:BATCH]
    images, targets = normalize(batch, MEAN, STD), F.one_hot(source.train_targets[:BATCH], 10).float()
    step = 1000 * BATCH / middle["bare loop"]
    cutmix = CutMix()
    print(f"of a bare step's {step:.0f} ms, a batch costs beside it:")
    print(
        f"  crop, flip, normalize {milliseconds(lambda: normalize(random_crop_flip(batch, draws), MEAN, STD)):.2f} ms"
    )
    print(f"  CutMix                {milliseconds(lambda: cutmix(images, targets, draws)):.2f} ms")


if __name__ == "__main__":
    main()
