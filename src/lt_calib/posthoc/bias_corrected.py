"""Bias-corrected temperature scaling."""

from typing import Any

import torch
from torch import Tensor

from lt_calib.measure.pieces import summed
from lt_calib.posthoc.base import Calibrator, minimize, prior, weighed_nll
from lt_calib.posthoc.temperature import best_temperature


class BiasCorrected(Calibrator):
    """softmax(z / T + b) with one T > 0 for all and a bias for each class; predictions may change.

    1 / T = u / T_0 with the T_0 of :class:`lt_calib.posthoc.temperature.Temperature`; u and b minimize
    sum_i NLL_i + strength [log(1 + ((u - 1) / 0.5)^2) + sum_c log(1 + (b_c / 0.5)^2)]. Half the parameters of vector
    scaling, and those that a shift of the class frequencies needs.

    Args:
        num_classes: K.
        strength: >= 0, of the prior around plain temperature scaling; 0 is as Alexandari et al.

    Attributes:
        temperature: () float64, T.
        bias: (K,) float64, b.

    Shape:
        (N, K) float -> (N, K) float32.

    Raises:
        ValueError: strength is negative.

    Reference:
        Alexandari, Kundaje and Shrikumar, "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label
        Shift Adaptation", ICML 2020, section 3.
    """

    temperature: Tensor
    bias: Tensor

    def __init__(self, num_classes: int, *, strength: float = 1.0) -> None:
        super().__init__(num_classes, strength)
        self.register_buffer("temperature", torch.ones((), dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(num_classes, dtype=torch.float64))

    def search(self, logits: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Find T_0, then u and b."""
        first = best_temperature(logits, targets, weights, self.strength)
        start = torch.cat([torch.ones(1), torch.zeros(self.num_classes)]).double()

        def nll(x: Tensor, z: Tensor, y: Tensor, w: Tensor) -> Tensor:
            return weighed_nll(z * (x[0] / first) + x[1:], y, w)

        def loss(x: Tensor) -> Tensor:
            fit = summed(nll, x, logits, targets, weights)
            return (fit + self.strength * prior(x - start)) / weights.sum()

        found = minimize(loss, start)
        self.temperature.copy_(first / found[0])
        self.bias.copy_(found[1:])

    def probs(self, logits: Tensor) -> Tensor:
        """Compute softmax(z / T + b)."""
        return torch.softmax(logits / self.temperature + self.bias, dim=1)

    def settings(self) -> dict[str, Any]:
        """Return T and b."""
        return {"temperature": float(self.temperature), "bias": self.bias.tolist()}
