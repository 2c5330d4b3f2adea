"""Isotonic regression, a curve a class."""

from typing import Any

import numpy as np
import torch
from sklearn.isotonic import IsotonicRegression
from torch import Tensor

from lt_calib.posthoc.base import Calibrator


class Isotonic(Calibrator):
    """Every class's probability softmax(z)_c through a rising curve of its own, then rows scaled to sum to 1.

    The curve is scikit-learn's isotonic regression of [y = c] on the probability: linear between its knots, level
    outside of them. Its values are kept within [1 / (2 N), 1 - 1 / (2 N)], N the images that it was fitted on (their
    weights' sum): N images cannot tell a probability nearer to 0 or 1 from them, and the NLL stays finite. Taken is
    (N curve(p) + strength K p) / (N + strength K): p itself weighs as ``strength`` images of each class do, which keeps
    a curve of few images near p, and is 2 % of one of 200 images of each class; p alone is taken for a class that none
    or all of the images are of. Predictions may change.

    Args:
        num_classes: K.
        strength: >= 0; 0 takes the curves alone.

    Attributes:
        knots: (2, K, M) float64, probabilities from 0 to 1 and values; a curve of fewer than M repeats its last.

    Shape:
        (N, K) float -> (N, K) float32.

    Raises:
        ValueError: strength is negative.

    Reference:
        Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates", KDD 2002.
    """

    knots: Tensor

    def __init__(self, num_classes: int, *, strength: float = 5.0) -> None:
        super().__init__(num_classes, strength)
        self.register_buffer("knots", torch.zeros(2, num_classes, 2, dtype=torch.float64))

    def search(self, logits: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Fit the curve of every class."""
        probs, labels = torch.softmax(logits, dim=1).cpu().numpy(), targets.cpu().numpy()
        w = weights.cpu().numpy()
        n, own = float(w.sum()), self.strength * self.num_classes
        least = 1 / (2 * n)
        curves = []
        for c in range(self.num_classes):
            if own and len(set(labels == c)) == 1:
                curves.append(np.array([[0.0, 1.0]] * 2))
                continue
            curve = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
            curve.fit(probs[:, c], labels == c, sample_weight=w)
            at, values = (np.pad(found, 1, mode="edge") for found in (curve.X_thresholds_, curve.y_thresholds_))
            at[[0, -1]] = 0, 1
            curves.append(np.stack([at, (n * values + own * at) / (n + own)]))
        longest = max(2, *(curve.shape[1] for curve in curves))
        padded = [np.pad(curve, ((0, 0), (0, longest - curve.shape[1])), mode="edge") for curve in curves]
        self.knots = torch.from_numpy(np.stack(padded, axis=1)).to(self.knots)

    def probs(self, logits: Tensor) -> Tensor:
        """Look the probabilities up in the curves, and scale the rows."""
        probs, (at, values) = torch.softmax(logits, dim=1), self.knots
        # Counted and not searched for, which ONNX has no word for; few knots are left of many pictures.
        above = (probs[..., None] >= at).sum(dim=-1).clamp(1, at.shape[1] - 1)  # (N, K)
        classes = torch.arange(at.shape[0], device=at.device)
        low, high, y_low, y_high = (x[classes, i] for x in (at, values) for i in (above - 1, above))
        share = ((probs - low) / (high - low).clamp(min=torch.finfo(torch.float64).tiny)).clamp(0, 1)
        found = y_low + share * (y_high - y_low)
        return found / found.sum(dim=1, keepdim=True)

    def num_fitted(self) -> int:
        """Count a curve as one."""
        return self.num_classes

    def settings(self) -> dict[str, Any]:
        """Say how many curves there are, and of how many knots the longest; the rest is in the state dict."""
        return {"curves": self.num_classes, "knots": self.knots.shape[2]}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        kept = state_dict.get(f"{prefix}knots")
        if isinstance(kept, Tensor) and kept.shape[:2] == self.knots.shape[:2]:  # how many there are is known only now
            self.knots = torch.zeros_like(kept, dtype=torch.float64)
        super()._load_from_state_dict(state_dict, prefix, *rest)
