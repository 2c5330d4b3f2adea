"""F1 over classes."""

from typing import Any

import torch
from sklearn.metrics import f1_score
from torch import Tensor

from lt_calib.measure.check import check_probs
from lt_calib.measure.direction import better


@better("higher")
def macro_f1(probs: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean over the classes that have an image of 2 TP_c / (2 TP_c + FP_c + FN_c).

    That is the harmonic mean of a class's precision and recall.

    Args:
        probs: (N, K) float, rows sum to 1.
        targets: (N,) int64.

    Shape:
        Returns () float32, a fraction.
    """
    probs = check_probs(probs, targets)
    there = targets.unique().tolist()
    predicted = probs.argmax(dim=1).tolist()
    undefined: Any = 0.0  # scikit-learn's annotation forgets numbers
    score = f1_score(targets.tolist(), predicted, labels=there, average="macro", zero_division=undefined)
    return torch.tensor(score).float()
