"""How well a score tells unknown images from known ones."""

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score
from torch import Tensor

from lt_calib.errors import InputError

KEPT = 0.95  # of the known images


class Detection(NamedTuple):
    """AUROC with its 95 % interval, and the share of unknown images that pass where 95 % of the known ones do."""

    auroc: float
    auroc_low: float
    auroc_high: float
    fpr95: float
    fpr95_low: float
    fpr95_high: float


def detection(known: Tensor, unknown: Tensor) -> Detection:
    """Measure a score that is higher for unknown images.

    AUROC A = P(s' > s) + P(s' = s) / 2, s of a known and s' of an unknown image, with the interval A +- 1.96 se, se^2 =
    [A (1 - A) + (M - 1) (A / (2 - A) - A^2) + (N - 1) (2 A^2 / (1 + A) - A^2)] / (N M). FPR at 95 %: the share of
    unknown images whose score is at most the 95 % quantile of the known ones' (the least that keeps 95 %), with Clopper
    and Pearson's interval, the threshold taken as given.

    Args:
        known: (N,) float, N >= 1.
        unknown: (M,) float, M >= 1.

    Raises:
        InputError: one has no image.

    Reference:
        Hanley and McNeil, "The Meaning and Use of the Area under a Receiver Operating Characteristic Curve",
        Radiology 1982.
    """
    n, m = len(known), len(unknown)
    if not n or not m:
        raise InputError(f"{n} known and {m} unknown images: one of each at least is needed")
    scores = np.concatenate([known.double().numpy(), unknown.double().numpy()])
    a = float(roc_auc_score(np.repeat([0, 1], [n, m]), scores))
    variance = a * (1 - a) + (m - 1) * (a / (2 - a) - a * a) + (n - 1) * (2 * a * a / (1 + a) - a * a)
    reach = 1.96 * math.sqrt(max(variance, 0.0) / (n * m))
    threshold = float(known.double().sort().values[math.ceil(KEPT * n) - 1])
    passed = int((unknown.double() <= threshold).sum())
    low, high = binomtest(passed, m).proportion_ci(0.95, "exact")
    return Detection(a, max(0.0, a - reach), min(1.0, a + reach), passed / m, float(low), float(high))
