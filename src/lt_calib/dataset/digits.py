"""scikit-learn's handwritten digits: real pictures that need no download."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from lt_calib.dataset.source import Source

TEST_PER_CLASS = 50


def digits(root: str = "") -> Source:
    """Load the 1797 digits, shown as 32 x 32 x 3; the last 50 of each class in file order are the test set.

    Args:
        root: Ignored: the pictures come with scikit-learn.
    """
    bunch: Any = load_digits()
    small = torch.from_numpy(np.asarray(bunch.images, dtype=np.float32))[:, None] * (255 / 16)  # (N, 1, 8, 8)
    large = F.interpolate(small, size=(32, 32), mode="bilinear", align_corners=False)
    images = large.round().to(torch.uint8).permute(0, 2, 3, 1).expand(-1, -1, -1, 3).contiguous()
    targets = torch.from_numpy(np.asarray(bunch.target, dtype=np.int64))
    by_class = [torch.nonzero(targets == c)[:, 0] for c in range(10)]
    train = torch.cat([rows[:-TEST_PER_CLASS] for rows in by_class])
    test = torch.cat([rows[-TEST_PER_CLASS:] for rows in by_class])
    names = tuple(str(c) for c in range(10))
    return Source(images[train], targets[train], images[test], targets[test], names)
