"""Vector scaling."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_calib.posthoc.base import Calibrator, minimize

BOUND = 100.0


class Vector(Calibrator):
    """softmax(w * z + b) with a weight and a bias a class that minimise the NLL; predictions may change.

    Args:
        num_classes: K.

    Attributes:
        weight: (K,) float64, w, each in [-100, 100].
        bias: (K,) float64, b, each in [-100, 100].

    Shape:
        (N, K) float -> (N, K) float32.

    Reference:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 8.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.register_buffer("weight", torch.ones(num_classes, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(num_classes, dtype=torch.float64))

    def search(self, logits: Tensor, targets: Tensor) -> None:
        """Find w and b."""
        k = self.num_classes
        start = torch.cat([torch.ones(k), torch.zeros(k)]).double()
        found = minimize(lambda x: F.cross_entropy(logits * x[:k] + x[k:], targets), start, -BOUND, BOUND)
        self.weight.copy_(found[:k])
        self.bias.copy_(found[k:])

    def probs(self, logits: Tensor) -> Tensor:
        """Compute softmax(w * z + b)."""
        return torch.softmax(logits * self.weight + self.bias, dim=1)

    def settings(self) -> dict[str, Any]:
        """Return w and b."""
        return {"weight": self.weight.tolist(), "bias": self.bias.tolist()}
