"""Vector scaling."""

from typing import Any

import torch
from torch import Tensor

from lt_calib.measure.pieces import summed
from lt_calib.posthoc.base import Calibrator, minimize, prior, weighed_nll
from lt_calib.posthoc.temperature import best_temperature


class Vector(Calibrator):
    """softmax(w * z + b) with a weight and a bias for each class; predictions may change.

    w = u / T with the T of :class:`Temperature`; u and b minimize
    sum_i w_i NLL_i + strength sum_c [log(1 + ((u_c - 1) / 0.5)^2) + log(1 + (b_c / 0.5)^2)]: with strength 1 the NLL
    with a Cauchy prior around plain temperature scaling, which few images leave it near. Guo et al. take the NLL alone,
    whose minimum is at infinity where some w and b make every held-out image right.

    Args:
        num_classes: K.
        strength: >= 0, of the prior; 0 is as Guo et al.

    Attributes:
        weight: (K,) float64, w.
        bias: (K,) float64, b.

    Shape:
        (N, K) float -> (N, K) float32.

    Raises:
        ValueError: strength is negative.

    Reference:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 8; the prior: Gelman et al., "A
        weakly informative default prior distribution for logistic and other regression models", 2008.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, num_classes: int, *, strength: float = 1.0) -> None:
        super().__init__(num_classes, strength)
        self.register_buffer("weight", torch.ones(num_classes, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(num_classes, dtype=torch.float64))

    def search(self, logits: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Find T, then u and b."""
        k = self.num_classes
        temperature = (
            best_temperature(logits, targets, weights) if self.strength else 1.0
        )  # without the prior w is free
        start = torch.cat([torch.ones(k), torch.zeros(k)]).double()

        def nll(x: Tensor, z: Tensor, y: Tensor, w: Tensor) -> Tensor:
            return weighed_nll(z * (x[:k] / temperature) + x[k:], y, w)

        def loss(x: Tensor) -> Tensor:
            fit = summed(nll, x, logits, targets, weights)
            return (fit + self.strength * prior(x - start)) / weights.sum()

        found = minimize(loss, start)
        self.weight.copy_(found[:k] / temperature)
        self.bias.copy_(found[k:])

    def probs(self, logits: Tensor) -> Tensor:
        """Compute softmax(w * z + b)."""
        return torch.softmax(logits * self.weight + self.bias, dim=1)

    def settings(self) -> dict[str, Any]:
        """Return w and b."""
        return {"weight": self.weight.tolist(), "bias": self.bias.tolist()}
