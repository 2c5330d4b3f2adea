"""A temperature that depends on how many training images the predicted class has."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lt_calib.measure.pieces import summed
from lt_calib.posthoc.base import Calibrator, minimize, prior, weighed_nll
from lt_calib.posthoc.temperature import best_temperature


class CountTemperature(Calibrator):
    """softmax(z / T_c), log T_c = a + b (log n_c - mean_k log n_k), c = argmax z and n_c its training images.

    No prediction changes. Two numbers let head and tail have temperatures of their own, where a temperature for each
    class would be read off a handful of images. a and b minimize
    sum_i w_i NLL_i + strength [log(1 + ((a - log T) / 0.5)^2) + log(1 + (s b / 0.5)^2)], T that of
    :class:`Temperature` and s the standard deviation of log n, so that b is held as a spread over the classes; of
    classes of one size b is 0.

    Args:
        num_classes: K.
        class_counts: (K,) n_c >= 1.
        strength: >= 0, of the prior.

    Attributes:
        level: () float64, a.
        slope: () float64, b; above 0 frequent classes are cooled down more.
        log_counts: (K,) float64, log n_c less its mean.

    Shape:
        (N, K) float -> (N, K) float32.

    Raises:
        ValueError: strength is negative, or the counts are not K numbers of at least 1.

    Reference:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 9, for one temperature.
    """

    keeps_predictions = True
    level: Tensor
    slope: Tensor
    log_counts: Tensor

    def __init__(self, num_classes: int, class_counts: Sequence[int], *, strength: float = 1.0) -> None:
        super().__init__(num_classes, strength)
        if len(class_counts) != num_classes or min(class_counts) < 1:
            raise ValueError(f"class_counts {list(class_counts)} must be {num_classes} numbers, each >= 1")
        logs = torch.tensor(class_counts, dtype=torch.float64).log()
        self.register_buffer("level", torch.zeros((), dtype=torch.float64))
        self.register_buffer("slope", torch.zeros((), dtype=torch.float64))
        self.register_buffer("log_counts", logs - logs.mean())

    def search(self, logits: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Find T, then a and b."""
        common = best_temperature(logits, targets, weights, self.strength).log()
        spread = self.log_counts.square().mean().sqrt()
        steps = self.log_counts / spread if spread > 0 else self.log_counts
        at = steps[logits.argmax(dim=1)]

        def nll(x: Tensor, z: Tensor, y: Tensor, w: Tensor, step: Tensor) -> Tensor:
            return weighed_nll(z * torch.exp(-common - x[0] - x[1] * step)[:, None], y, w)

        def loss(x: Tensor) -> Tensor:
            return (summed(nll, x, logits, targets, weights, at) + self.strength * prior(x)) / weights.sum()

        found = minimize(loss, torch.zeros(2, dtype=torch.float64))
        self.level.copy_(common + found[0])
        self.slope.copy_(found[1] / spread if spread > 0 else torch.zeros(()))

    def probs(self, logits: Tensor) -> Tensor:
        """Compute softmax(z / T_c)."""
        temperatures = torch.exp(self.level + self.slope * self.log_counts)
        return torch.softmax(logits / temperatures[logits.argmax(dim=1)][:, None], dim=1)

    def num_fitted(self) -> int:
        """Count a and b."""
        return 2

    def settings(self) -> dict[str, Any]:
        """Return a, b, and the temperatures of the rarest and the most frequent class."""
        ends = torch.exp(self.level + self.slope * torch.stack([self.log_counts.min(), self.log_counts.max()]))
        of = dict(zip(("rarest", "most_frequent"), ends.tolist(), strict=True))
        return {"level": float(self.level), "slope": float(self.slope), "temperatures": of}
