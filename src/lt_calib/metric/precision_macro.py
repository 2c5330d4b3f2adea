"""Precision over classes."""

from typing import Any

import torch
from sklearn.metrics import precision_score
from torch import Tensor

from lt_calib.measure.check import check_probs
from lt_calib.measure.direction import better


@better("higher")
def macro_precision(probs: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean over the classes that have an image of TP_c / (TP_c + FP_c).

    That is how many of what is predicted as class c are of it; 0 where nothing is. The recall over classes is
    ``acc_balanced``.

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
    score = precision_score(targets.tolist(), predicted, labels=there, average="macro", zero_division=undefined)
    return torch.tensor(score).float()
