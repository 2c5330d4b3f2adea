"""Smooth calibration error."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import brentq
from torch import Tensor

from lt_calib.measure.direction import better
from lt_calib.metric.ece import confidence_and_correct

CELLS = 2000  # of the confidence's range
FINEST = 1 / CELLS


@better("lower")
def smooth_calibration_error(probs: Tensor, targets: Tensor) -> Tensor:
    """Compute the s at which int_0^1 |(1 / N) sum_i (right_i - conf_i) K_s(t, conf_i)| dt = s.

    K_s is the Gaussian kernel of standard deviation s, reflected at 0 and 1. There are no bins whose edges decide, and
    no width to choose: the error is looked at as finely as it is large. Chance adds to it as it does to the ECE. The
    integral is a sum over 2,000 cells, and errors below one cell's width are 0.

    Args:
        probs: (N, K) float, rows sum to 1; taken as float32. Logits are refused.
        targets: (N,) int64.

    Shape:
        Returns () float32, a fraction.

    Reference:
        Blasiok and Nakkiran, "Smooth ECE: Principled Reliability Diagrams via Kernel Smoothing", ICLR 2024, section 3.
    """
    confidence, correct = confidence_and_correct(probs, targets)
    residuals = spread(confidence, correct.double() - confidence.double())

    def excess(width: float) -> float:
        return smoothed_error(residuals, width) - width

    if excess(FINEST) <= 0:
        return torch.zeros(())
    if excess(1.0) >= 0:  # sure of all and wrong on all
        return torch.ones(())
    return torch.tensor(brentq(excess, FINEST, 1.0, xtol=1e-6)).float()


def spread(confidence: Tensor, values: Tensor) -> np.ndarray:
    """Sum values (N,) / N over cells of the confidence (N,), shared by the two cells whose middles it is between."""
    at = confidence.double().cpu().numpy() * CELLS - 0.5
    low = np.clip(np.floor(at).astype(int), 0, CELLS - 2)
    share = np.clip(at - low, 0.0, 1.0)
    mass, cells = values.cpu().numpy() / len(values), np.zeros(CELLS)
    np.add.at(cells, low, (1 - share) * mass)
    np.add.at(cells, low + 1, share * mass)
    return cells


def smoothed_error(residuals: np.ndarray, width: float) -> float:
    """Compute the sum of |residuals smoothed by a reflected Gaussian of that standard deviation|."""
    smooth = gaussian_filter1d(residuals, width * CELLS, mode="reflect", truncate=6.0)
    return float(np.abs(smooth).sum())
