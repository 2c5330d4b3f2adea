import numpy as np
import pytest
import torch


def soft(seed: int, n: int, k: int, sharp: float = 2.0) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.softmax(sharp * torch.randn(n, k, generator=draws), dim=1)


def labels(seed: int, n: int, k: int) -> torch.Tensor:
    return torch.randint(k, (n,), generator=torch.Generator().manual_seed(seed))


def edges(n_bins: int = 15) -> torch.Tensor:
    """Two classes, with confidences of 0, 1 and every edge of the bins."""
    first = torch.cat([torch.arange(n_bins + 1) / n_bins, torch.tensor([0.5, 0.5, 1.0])])
    return torch.stack([first, 1 - first], dim=1)


CASES = {
    "random": (soft(0, 300, 5), labels(1, 300, 5)),
    "many classes": (soft(2, 400, 30), labels(3, 400, 30)),
    "all correct": (torch.eye(4)[labels(4, 40, 4)], labels(4, 40, 4)),
    "all wrong": (torch.eye(4)[(labels(4, 40, 4) + 1) % 4], labels(4, 40, 4)),
    "one picture": (soft(5, 1, 3), torch.tensor([2])),
    "fewer than bins": (soft(6, 7, 3), labels(7, 7, 3)),
    "one class": (torch.ones(9, 1), torch.zeros(9, dtype=torch.int64)),
    "one true class": (soft(8, 50, 4), torch.full((50,), 3)),
    "edges": (edges(), labels(9, 19, 2)),
    "uniform": (torch.full((20, 4), 0.25), labels(10, 20, 4)),
}


@pytest.fixture(params=list(CASES))
def case(request) -> tuple[torch.Tensor, torch.Tensor]:
    return CASES[request.param]


@pytest.fixture(params=list(CASES))
def rows(request) -> tuple[np.ndarray, np.ndarray]:
    """The same for slow twins, as float32 and int64 arrays."""
    probs, targets = CASES[request.param]
    return probs.numpy(), targets.numpy()
