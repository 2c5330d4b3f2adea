"""Accuracy and ECE after each optimization, against a plain float32 loop with torchvision's transforms, on digits."""

import contextlib
import io
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

from lt_calib.job.build import build_data, settle
from lt_calib.metric.ece import expected_calibration_error
from lt_calib.model.resnet_cifar import ResNetCIFAR
from lt_calib.run import run
from lt_calib.settings.check import make
from lt_calib.settings.schema import composed

SEEDS, EPOCHS, LR = range(3), 20, 0.05
WAYS = {"float32": [], "bfloat16": ["trainer.precision=bf16-mixed"], "compiled": ["trainer.compile=true"]}


def configuration(seed: int, *overrides: str) -> DictConfig:
    """Compose one stage of cross-entropy with a small network."""
    job = [
        "+experiment=ce", "dataset=digits_lt", "dataset.if=10", f"seed={seed}", f"stage1.max_epochs={EPOCHS}",
        f"stage1.lr={LR}", "figures=false", "cache=off", "trainer.precision=32-true", "+model.backbone.blocks=1",
        "model.backbone._target_=lt_calib.model.resnet_cifar.ResNetCIFAR",
    ]  # fmt: skip
    return composed(*job, *overrides)


def ours(seed: int, *overrides: str) -> tuple[float, float]:
    """Train by the command's own path."""
    with TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        test = run(configuration(seed, *overrides), Path(folder))["stage1"]["test"]
    return test["acc"], test["ece"]


def plain(seed: int) -> tuple[float, float]:
    """Train by a plain loop: PIL pictures, a shuffled DataLoader, float32, channels-first."""
    torch.manual_seed(seed)
    cfg = settle(configuration(seed), Path("unused"))
    data = build_data(cfg)
    net = nn.Sequential(ResNetCIFAR(1), nn.Linear(64, data.num_classes))
    nn.init.kaiming_normal_(net[1].weight)  # type: ignore[arg-type]
    scale = [transforms.ToTensor(), transforms.Normalize(cfg.transform.mean, cfg.transform.std)]
    crop = transforms.Compose([transforms.RandomCrop(32, padding=cfg.transform.padding), *scale])

    def pictures(split: str, transform: Any) -> list:
        pairs = zip(data.raw(split), data.targets(split), strict=True)
        return [(Image.fromarray(x.numpy()), int(y), transform) for x, y in pairs]

    def collate(batch: list) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.stack([transform(x) for x, _, transform in batch]), torch.tensor([y for _, y, _ in batch])

    loader = DataLoader(pictures("train", crop), batch_size=data.batch_size, shuffle=True, collate_fn=collate)  # type: ignore[arg-type]
    optimizer = torch.optim.SGD(net.parameters(), lr=LR, momentum=0.9, weight_decay=cfg.stage1.weight_decay)
    schedule = make(cfg, "stage1.schedule")
    for epoch in range(EPOCHS):
        for group in optimizer.param_groups:
            group["lr"] = LR * schedule(epoch, EPOCHS)
        for images, targets in loader:
            optimizer.zero_grad()
            F.cross_entropy(net(images), targets).backward()
            optimizer.step()
    images, targets = collate(pictures("test", transforms.Compose(scale)))
    with torch.no_grad():
        probs = torch.softmax(net.eval()(images), dim=1)
    return float((probs.argmax(1) == targets).double().mean()), float(expected_calibration_error(probs, targets))


def main() -> None:
    """Print mean and standard deviation over the seeds; ways may be named on the command line."""
    asked = sys.argv[1:] or list(WAYS)
    for name in ["plain loop", *asked]:
        every = [plain(seed) if name == "plain loop" else ours(seed, *WAYS[name]) for seed in SEEDS]
        shown = [
            f"{label} {100 * statistics.mean(v):.2f} ± {100 * statistics.stdev(v):.2f}"
            for label, v in zip(("accuracy", "ECE"), zip(*every, strict=True), strict=True)
        ]
        print(f"{name:12} {', '.join(shown)}   (n = {len(every)})")


if __name__ == "__main__":
    main()
