"""A temperature for each predicted class."""

from typing import Any

import torch
from torch import Tensor

from lt_calib.measure.pieces import summed
from lt_calib.posthoc.base import Calibrator, minimize, weighed_nll
from lt_calib.posthoc.temperature import best_temperature


class ClassTemperature(Calibrator):
    """softmax(z / T_c) with c = argmax z the predicted class: rare and frequent classes need not share one temperature.

    No prediction changes. The T_c minimize sum_i w_i NLL_i + (strength / 2) sum_c (log T_c - log T)^2, drawn to the one
    temperature T of all (:class:`Temperature`'s, itself drawn to 1), so that a class predicted for few held-out images
    keeps near it, and one predicted for none has it.

    Args:
        num_classes: K.
        strength: > 0; as much as that many images weigh.

    Attributes:
        temperatures: (K,) float64, T_c.

    Shape:
        (N, K) float -> (N, K) float32.

    Raises:
        ValueError: strength is not > 0.

    Reference:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 9, for one temperature.
    """

    keeps_predictions = True
    temperatures: Tensor

    def __init__(self, num_classes: int, *, strength: float = 10.0) -> None:
        if strength <= 0:
            raise ValueError(f"strength {strength} must be > 0")
        super().__init__(num_classes, strength)
        self.register_buffer("temperatures", torch.ones(num_classes, dtype=torch.float64))

    def search(self, logits: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Find T, then every T_c."""
        common = best_temperature(logits, targets, weights).log()
        predicted = logits.argmax(dim=1)

        def nll(x: Tensor, z: Tensor, y: Tensor, w: Tensor, c: Tensor) -> Tensor:
            return weighed_nll(z * torch.exp(-x[c])[:, None], y, w)

        def loss(x: Tensor) -> Tensor:
            fit = summed(nll, x, logits, targets, weights, predicted)
            return (fit + self.strength / 2 * (x - common).square().sum()) / weights.sum()

        self.temperatures.copy_(minimize(loss, common.repeat(self.num_classes)).exp())

    def probs(self, logits: Tensor) -> Tensor:
        """Compute softmax(z / T_c)."""
        return torch.softmax(logits / self.temperatures[logits.argmax(dim=1)][:, None], dim=1)

    def settings(self) -> dict[str, Any]:
        """Return every T_c."""
        return {"temperatures": self.temperatures.tolist()}
