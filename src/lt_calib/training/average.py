"""An exponential moving average of a network's weights."""

import copy

import torch
from torch import Tensor, nn


class WeightAverage(nn.Module):
    """Keeps the average of a network's weights w: avg <- d_t avg + (1 - d_t) w after each step t = 1, 2, ...

    with d_t = min(d, (1 + t) / (10 + t)), so that the first steps are soon forgotten. Running statistics of batch norm
    are averaged as weights are; what is not floating-point is copied.

    Args:
        network: Whose weights are averaged; the average starts at them.
        decay: d in (0, 1).

    Raises:
        ValueError: the decay is out of (0, 1).

    Reference:
        Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017, section 2; d_t as in TensorFlow.
    """

    steps: Tensor

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        if not 0 < decay < 1:
            raise ValueError(f"ema_decay {decay} must be in (0, 1), or 0 for no average")
        self.decay = decay
        self.average = copy.deepcopy(network).requires_grad_(False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take a step of the network in."""
        self.steps += 1
        t = self.steps.float()
        decay = torch.minimum(torch.full_like(t, self.decay), (1 + t) / (10 + t))  # on the device: nothing waits for it
        current = network.state_dict()
        for name, kept in self.average.state_dict().items():
            if kept.is_floating_point():
                kept.lerp_(current[name].to(kept.dtype), (1 - decay).to(kept.dtype))
            else:
                kept.copy_(current[name])

    @torch.no_grad()
    def exchange(self, network: nn.Module) -> None:
        """Put the average into the network, and what the network held into the average."""
        current = network.state_dict()
        for name, kept in self.average.state_dict().items():
            held = kept.clone()
            kept.copy_(current[name])
            current[name].copy_(held)
