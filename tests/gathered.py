"""What a process of test_ranks.py does, apart, since each process imports the module that its function is in."""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import one_hot

from lt_calib.training.whole_batch import whole_batch


def batch(soft: bool) -> tuple[Tensor, Tensor]:
    """11 pictures of 4 classes; cut in two or three, the pieces' sizes and class counts differ."""
    targets = torch.tensor([0, 0, 0, 1, 1, 3, 2, 0, 3, 1, 0])
    features = torch.randn(11, 6, generator=torch.Generator().manual_seed(3))
    return features, one_hot(targets, 4).float() if soft else targets


def step(loss: nn.Module, features: Tensor, targets: Tensor, gather: Callable[..., Any] | None = None) -> list[Tensor]:
    """A linear classifier's loss and the gradient of its weights."""
    weight = torch.linspace(-1, 1, 24).reshape(4, 6).requires_grad_()
    logits = features @ weight.T
    if gather:
        logits, targets = gather(logits, targets)
    value = loss(logits, targets)
    (gradient,) = torch.autograd.grad(value, weight)
    return [value.detach(), gradient]


def gathered(rank: int, world_size: int, folder: str, losses: dict[str, nn.Module]) -> None:
    """One process: each loss from this process's piece, and DDP's mean of the gradients."""
    dist.init_process_group("gloo", f"file://{folder}/address", rank=rank, world_size=world_size)
    found = {}
    for soft in (False, True):
        features, targets = (x.tensor_split(world_size)[rank] for x in batch(soft))
        for name, loss in copy.deepcopy(losses).items():  # what is passed to a process is shared with the others
            value, gradient = step(loss, features, targets, whole_batch)
            dist.all_reduce(gradient)
            found[name, soft] = [value, gradient / world_size]
    torch.save(found, f"{folder}/{rank}.pt")
