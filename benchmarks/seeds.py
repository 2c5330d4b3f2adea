"""S networks of different seeds as one vectorized model, against one network as it is trained: does it pay?"""

import statistics
import time
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from lt_calib.model.resnet_cifar import ResNet32
from lt_calib.training.trainer import resolve_precision

SEEDS, BATCH, REPEATS = 4, 128, 3


def network(device: str) -> nn.Module:
    """Build ResNet-32 with its classifier, channels-last."""
    return nn.Sequential(ResNet32(), nn.Linear(64, 10)).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def batch(device: str) -> tuple[Tensor, Tensor]:
    """Make pictures, channels-last, and targets."""
    images = torch.randn(BATCH, 3, 32, 32, device=device).to(memory_format=torch.channels_last)
    return images, torch.arange(BATCH, device=device) % 10


def one(device: str, compiled: bool = False) -> Callable[[], Tensor]:
    """Return a step of one network on its batch, in the package's format."""
    net, (images, targets) = network(device), batch(device)
    if compiled:
        net[0].compile(mode="reduce-overhead", dynamic=False)  # type: ignore[index]
    parameters = list(net.parameters())
    return with_sgd(parameters, device, lambda: F.cross_entropy(net(images).float(), targets))


def at_once(device: str) -> Callable[[], Tensor]:
    """Return a step of S networks, each on a batch of its own, by vmap (grouped convolutions)."""
    nets = [network(device) for _ in range(SEEDS)]
    parameters, buffers = stack_module_state(nets)  # type: ignore[arg-type]
    images = torch.stack([batch(device)[0] for _ in range(SEEDS)])
    targets = batch(device)[1]

    def loss(parameters: dict, buffers: dict, images: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(nets[0], (parameters, buffers), (images,)).float(), targets)

    return with_sgd(list(parameters.values()), device, lambda: vmap(loss)(parameters, buffers, images).sum())


def with_sgd(parameters: Sequence[Tensor], device: str, loss: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Return a whole step, in the precision that trainer.precision=auto takes."""
    optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=5e-4)
    bfloat16 = resolve_precision("auto") != "32-true"

    def step() -> Tensor:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            value = loss()
        value.backward()
        optimizer.step()
        return value

    return step


def seconds(step: Callable[[], Tensor], device: str, steps: int) -> float:
    """Measure a step, after a few that warm up."""
    for _ in range(1 if device == "cpu" else 10):
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
    rows = [(seconds(one(device), device, steps), seconds(at_once(device), device, steps)) for _ in range(REPEATS)]
    single, many = (statistics.median(column) for column in zip(*rows, strict=True))
    ratio = statistics.median(b / a for a, b in rows)
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{name}: one network {1000 * single:.1f} ms a step, {SEEDS} at once {1000 * many:.1f} ms")
    print(f"{SEEDS} seeds / one: {ratio:.2f}   (<= 2 on a GPU, or it does not pay)")
    if device == "cuda":  # what a user would take in its place
        fast = seconds(one(device, compiled=True), device, steps)
        print(f"one network compiled, with CUDA graphs: {1000 * fast:.1f} ms; {SEEDS} seeds / it: {many / fast:.2f}")


if __name__ == "__main__":
    main()
