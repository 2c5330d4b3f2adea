"""Structured matrix scaling."""

from typing import Any

import torch
from torch import Tensor

from lt_calib.measure.pieces import summed
from lt_calib.posthoc.base import Calibrator, minimize, weighed_nll
from lt_calib.posthoc.temperature import best_temperature


class Matrix(Calibrator):
    """softmax((I + V + M) log p + b), p = softmax(z / T), V diagonal and M off it; predictions may change.

    T is :class:`Temperature`'s. V, M and b minimize
    sum_i w_i NLL_i + strength [K sum_c b_c^2 + K sum_c v_c^2 + K (K - 1) sum_(c != k) m_ck^2]: the more parameters a
    part has, the harder each is held, so that 2,000 images do not settle 10,000 numbers. As many images as
    ``strength`` asks for leave plain temperature scaling.

    Args:
        num_classes: K.
        strength: >= 0, of the penalty; 0 is matrix scaling as Guo et al.

    Attributes:
        temperature: () float64, T.
        weight: (K, K) float64, I + V + M.
        bias: (K,) float64, b.

    Shape:
        (N, K) float -> (N, K) float32.

    Raises:
        ValueError: strength is negative.

    Reference:
        Berta, Holzmueller, Jordan and Bach, "Structured Matrix Scaling for Multi-Class Calibration", AISTATS 2026: the
        ridge penalty with its exponents rho = tau = 1; Guo et al., "On Calibration of Modern Neural Networks", ICML
        2017, equation 8.
    """

    temperature: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, num_classes: int, *, strength: float = 1.0) -> None:
        super().__init__(num_classes, strength)
        self.register_buffer("temperature", torch.ones((), dtype=torch.float64))
        self.register_buffer("weight", torch.eye(num_classes, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(num_classes, dtype=torch.float64))

    def search(self, logits: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Find T, then V, M and b."""
        k = self.num_classes
        temperature = best_temperature(logits, targets, weights)
        penalties = torch.full((k, k + 1), float(k), dtype=torch.float64)
        penalties[:, :k][~torch.eye(k, dtype=torch.bool)] = k * (k - 1)

        def nll(x: Tensor, z: Tensor, y: Tensor, w: Tensor) -> Tensor:
            log_p = torch.log_softmax(z / temperature, dim=1)
            moved = x.view(k, k + 1)
            return weighed_nll(log_p + log_p @ moved[:, :k].T + moved[:, k], y, w)

        def loss(x: Tensor) -> Tensor:
            fit = summed(nll, x, logits, targets, weights)
            return (fit + self.strength * (penalties * x.view(k, k + 1).square()).sum()) / weights.sum()

        found = minimize(loss, torch.zeros(k * (k + 1), dtype=torch.float64)).view(k, k + 1)
        self.temperature.copy_(temperature)
        self.weight.copy_(torch.eye(k, dtype=torch.float64) + found[:, :k])
        self.bias.copy_(found[:, k])

    def probs(self, logits: Tensor) -> Tensor:
        """Compute softmax((I + V + M) log p + b)."""
        log_p = torch.log_softmax(logits / self.temperature, dim=1)
        return torch.softmax(log_p @ self.weight.T + self.bias, dim=1)

    def num_fitted(self) -> int:
        """Count T, V and b: each number of M is held as K - 1 of those are."""
        return 1 + 2 * self.num_classes

    def settings(self) -> dict[str, Any]:
        """Return T and how far V, M and b are from 0, each as its largest; the numbers are in the state dict."""
        v = self.weight.diagonal() - 1
        m = self.weight - torch.diag(self.weight.diagonal())
        largest = {name: float(x.abs().max()) for name, x in (("v", v), ("m", m), ("b", self.bias))}
        return {"temperature": float(self.temperature), "largest": largest}
