"""S networks of different seeds as one vectorised model, against one network: does it pay?"""

import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from lt_calib.model.resnet_cifar import ResNet32

SEEDS, BATCH, REPEATS = 4, 128, 3


def seconds(number: int, device: str, steps: int) -> float:
    """Measure one step of ``number`` networks, each on a batch of its own."""
    nets = [nn.Sequential(ResNet32(), nn.Linear(64, 10)).to(device) for _ in range(number)]
    parameters, buffers = stack_module_state(nets)  # type: ignore[arg-type]
    images = torch.randn(number, BATCH, 3, 32, 32, device=device)
    targets = torch.arange(BATCH, device=device) % 10
    optimizer = torch.optim.SGD(parameters.values(), lr=0.01, momentum=0.9)

    def one(parameters: dict, buffers: dict, images: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(functional_call(nets[0], (parameters, buffers), (images,)), targets)

    def step() -> None:
        optimizer.zero_grad()
        vmap(one)(parameters, buffers, images).sum().backward()
        optimizer.step()

    step()
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / steps


def main() -> None:
    """Measure in turns."""
    device, steps = ("cuda", 100) if torch.cuda.is_available() else ("cpu", 4)
    rows = [(seconds(1, device, steps), seconds(SEEDS, device, steps)) for _ in range(REPEATS)]
    one, many = (statistics.median(column) for column in zip(*rows, strict=True))
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{name}: one network {1000 * one:.1f} ms a step, {SEEDS} at once {1000 * many:.1f} ms")
    print(f"{SEEDS} seeds / one: {many / one:.2f}   (<= 2 on a GPU, or it does not pay)")


if __name__ == "__main__":
    main()
