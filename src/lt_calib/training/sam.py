"""Sharpness-aware minimization."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class SAM(torch.optim.Optimizer):
    """An optimizer's step with the gradient at w + rho g / ||g||, g the gradient at w: two passes per step.

    The running statistics of batch norm follow the first pass alone, and whatever the loss keeps moves after the
    second, so that both passes are of one loss. The loss that the history shows is the second's, as the authors' is.

    Args:
        optimizer: Takes the step; its groups and state are this one's.
        rho: > 0.
        network: Whose batch norms stand still in the second pass.
        loss: What it keeps stands still in the first pass.

    Raises:
        ValueError: rho is not > 0.

    Reference:
        Foret et al., "Sharpness-Aware Minimization for Efficiently Improving Generalization", ICLR 2021, algorithm 1.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, *, rho: float, network: nn.Module, loss: nn.Module) -> None:
        if rho <= 0:
            raise ValueError(f"sam_rho {rho} must be > 0, or 0 for a plain step")
        super().__init__(optimizer.param_groups, optimizer.defaults)
        self.optimizer = optimizer
        self.param_groups = optimizer.param_groups
        self.state = optimizer.state
        self.rho = rho
        self.norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        self.loss = loss

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Take a step; ``closure`` computes the loss and its gradient."""
        assert closure is not None, "SAM computes each gradient twice, and needs the closure"
        self.loss.eval()
        with torch.enable_grad():
            value = closure()
        self.loss.train()
        moved = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.stack([p.grad.norm() for p in moved]).norm()
        before = [p.clone() for p in moved]
        for p in moved:
            p.add_(p.grad * (self.rho / (norm + 1e-12)))
        for batch_norm in self.norms:
            batch_norm.track_running_stats = False  # a training pass then neither reads nor moves the statistics
        with torch.enable_grad():
            closure()
        for batch_norm in self.norms:
            batch_norm.track_running_stats = True
        for p, old in zip(moved, before, strict=True):
            p.copy_(old)
        self.optimizer.step()
        return value

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer's."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Give the optimizer its state, and share it again."""
        self.optimizer.load_state_dict(state_dict)
        self.param_groups, self.state = self.optimizer.param_groups, self.optimizer.state
