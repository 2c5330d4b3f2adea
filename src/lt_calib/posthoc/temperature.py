"""Temperature scaling."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_calib.posthoc.base import Calibrator, minimize

LOG_T = math.log(100.0)  # temperatures of 0.01 to 100


class Temperature(Calibrator):
    """softmax(z / T) with the one T > 0 that minimises the NLL; no prediction changes.

    Args:
        num_classes: K.

    Attributes:
        temperature: () float64, T, in [0.01, 100].

    Shape:
        (N, K) float -> (N, K) float32.

    Reference:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 9.
    """

    temperature: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.register_buffer("temperature", torch.ones((), dtype=torch.float64))

    def search(self, logits: Tensor, targets: Tensor) -> None:
        """Find T."""
        self.temperature.copy_(best_temperature(logits, targets))

    def probs(self, logits: Tensor) -> Tensor:
        """Compute softmax(z / T)."""
        return torch.softmax(logits / self.temperature, dim=1)

    def settings(self) -> dict[str, Any]:
        """Return T."""
        return {"temperature": float(self.temperature)}


def best_temperature(logits: Tensor, targets: Tensor) -> Tensor:
    """Find the T in [0.01, 100] of least NLL, () float64."""
    start = torch.zeros(1, dtype=torch.float64)
    found = minimize(lambda x: F.cross_entropy(logits * torch.exp(-x), targets), start, -LOG_T, LOG_T)
    return found.exp()[0]
