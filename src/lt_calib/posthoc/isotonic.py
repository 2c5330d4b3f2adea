"""Isotonic regression, a curve a class."""

from typing import Any

import numpy as np
import torch
from sklearn.isotonic import IsotonicRegression
from torch import Tensor

from lt_calib.posthoc.base import Calibrator

POINTS = 1000  # a curve is kept by its values at this many equal steps of the square root: finest near 0


class Isotonic(Calibrator):
    """Every class's probability softmax(z)_c through a rising curve of its own, then rows scaled to sum to 1.

    The curve is scikit-learn's isotonic regression of [y = c] on the probability. Its values are kept within
    [1 / (2 N), 1 - 1 / (2 N)], N the pictures that it was fitted on: N pictures cannot tell a probability nearer to 0
    or 1 from them, and the NLL stays finite. Predictions may change.

    Args:
        num_classes: K.

    Attributes:
        curves: (K, 1001) float64, the values at probabilities (i / 1000)^2, linear in the root between them.

    Shape:
        (N, K) float -> (N, K) float32.

    Reference:
        Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates", KDD 2002.
    """

    curves: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.register_buffer("curves", torch.zeros(num_classes, POINTS + 1, dtype=torch.float64))

    def search(self, logits: Tensor, targets: Tensor) -> None:
        """Fit the curve of every class."""
        probs, labels = torch.softmax(logits, dim=1).numpy(), targets.numpy()
        least = 1 / (2 * len(labels))
        at = np.linspace(0, 1, POINTS + 1) ** 2
        for c in range(self.num_classes):
            curve = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
            curve.fit(probs[:, c], labels == c)
            self.curves[c] = torch.from_numpy(curve.predict(at))

    def probs(self, logits: Tensor) -> Tensor:
        """Look the probabilities up in the curves, and scale the rows."""
        place = torch.softmax(logits, dim=1).sqrt() * POINTS
        below = place.floor().long().clamp(max=POINTS - 1)
        classes = torch.arange(self.num_classes, device=logits.device)
        low, high = self.curves[classes, below], self.curves[classes, below + 1]
        values = low + (place - below) * (high - low)
        return values / values.sum(dim=1, keepdim=True)

    def settings(self) -> dict[str, Any]:
        """Say how many curves there are; their values are in the state dict."""
        return {"curves": self.num_classes, "points": POINTS + 1}
