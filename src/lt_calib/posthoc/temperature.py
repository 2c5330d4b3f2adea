"""Temperature scaling."""

from typing import Any

import torch
from torch import Tensor

from lt_calib.measure.pieces import by_rows, summed
from lt_calib.posthoc.base import Calibrator, minimize, prior, weighed_nll


class Temperature(Calibrator):
    """softmax(z / T) with one T > 0 for all; no prediction changes.

    log T minimizes sum_i w_i NLL_i + strength log(1 + (log T / 0.5)^2): with strength 1 the NLL with a Cauchy prior, by
    which half of all T are within 0.61 to 1.65. Guo et al. take the NLL alone, whose T is 0 where all held-out images
    are right; at 2000 images the prior moves T by an eighth of its standard error or less. There is no bound: logits of
    any scale get their T.

    Args:
        num_classes: K.
        strength: >= 0, of the prior; 0 is as Guo et al.

    Attributes:
        temperature: () float64, T.

    Shape:
        (N, K) float -> (N, K) float32.

    Example:
        Logits of confidence 0.95 that are right in 4 of 5 cases are cooled down:

        >>> logits = torch.tensor([[3.0, 0.0]]).expand(1000, 2)
        >>> targets = torch.tensor([0, 0, 0, 0, 1] * 200)
        >>> calibrator = Temperature(2).fit(logits, targets)
        >>> [round(p, 2) for p in calibrator(logits)[0].tolist()]
        [0.8, 0.2]

    Raises:
        ValueError: strength is negative.

    Reference:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 9; the prior: Gelman et al., "A
        weakly informative default prior distribution for logistic and other regression models", 2008.
    """

    keeps_predictions = True
    temperature: Tensor

    def __init__(self, num_classes: int, *, strength: float = 1.0) -> None:
        super().__init__(num_classes, strength)
        self.register_buffer("temperature", torch.ones((), dtype=torch.float64))

    def search(self, logits: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Find T."""
        self.temperature.copy_(best_temperature(logits, targets, weights, self.strength))

    def probs(self, logits: Tensor) -> Tensor:
        """Compute softmax(z / T)."""
        return torch.softmax(logits / self.temperature, dim=1)

    def settings(self) -> dict[str, Any]:
        """Return T."""
        return {"temperature": float(self.temperature)}


def best_temperature(logits: Tensor, targets: Tensor, weights: Tensor | None = None, strength: float = 1.0) -> Tensor:
    """Find the T of :class:`Temperature`, () float64.

    Args:
        logits: (N, K) float64.
        targets: (N,) int64.
        weights: (N,) float64, > 0; a 2 counts as two images, None is 1 each.
        strength: >= 0, of the prior.
    """
    weights = logits.new_ones(len(targets)) if weights is None else weights
    total = weights.sum()

    def nll(x: Tensor, z: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return weighed_nll(z * torch.exp(-x), y, w)

    def loss(x: Tensor) -> Tensor:
        return (summed(nll, x, logits, targets, weights) + strength * prior(x)) / total

    # Two valleys: around the prior's T = 1, and where the logits' own scale is, if that is far from it.
    scale = ((weights * by_rows(lambda z: z.var(dim=1, correction=0), logits)).sum() / total).sqrt()
    starts = [torch.zeros(1, dtype=torch.float64), *([scale.log()[None]] if scale > 0 else [])]
    return min((minimize(loss, start) for start in starts), key=lambda x: float(loss(x))).exp()[0]
