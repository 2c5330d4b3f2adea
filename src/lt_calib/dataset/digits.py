"""scikit-learn's handwritten digits: real pictures that need no download."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor

from lt_calib.dataset.source import Source

TEST_PER_CLASS = 50


def digits(root: str = "") -> Source:
    """Load the 1797 digits, shown as 32 x 32 x 3; the last 50 of each class in file order are the test set.

    Args:
        root: Ignored: the pictures come with scikit-learn.
    """
    small, targets = _read()
    large = F.interpolate(small[:, None] * (255 / 16), size=(32, 32), mode="bilinear", align_corners=False)
    return _split(large.round().to(torch.uint8).permute(0, 2, 3, 1).expand(-1, -1, -1, 3).contiguous(), targets)


def digits_features(root: str = "") -> Source:
    """Load the digits as a table: the 64 gray values of each are its features.

    Args:
        root: Ignored: they come with scikit-learn.
    """
    small, targets = _read()
    return _split(small.flatten(1), targets)


def _read() -> tuple[Tensor, Tensor]:
    bunch: Any = load_digits()
    return torch.from_numpy(np.asarray(bunch.images, np.float32)), torch.from_numpy(np.asarray(bunch.target, np.int64))


def _split(samples: Tensor, targets: Tensor) -> Source:
    by_class = [torch.nonzero(targets == c)[:, 0] for c in range(10)]
    train = torch.cat([rows[:-TEST_PER_CLASS] for rows in by_class])
    test = torch.cat([rows[-TEST_PER_CLASS:] for rows in by_class])
    return Source(samples[train], targets[train], samples[test], targets[test], tuple(str(c) for c in range(10)))
