"""SMOTE."""

import numpy as np
from torch import Tensor

from lt_calib.resample.balance import Rows, imblearn, on_rows


def smote(images: Tensor, targets: Tensor, seed: int, neighbors: int = 5) -> tuple[Tensor, Tensor]:
    """Fill every class up to n_max with points between a picture and one of its k nearest of the class.

    k = min(neighbors, n_c - 1); a class of one picture is copied, since it has no neighbour.

    Args:
        images: (N, ...) uint8 or float32.
        targets: (N,) int64.
        seed: >= 0.
        neighbors: >= 1.

    Shape:
        Returns (M, ...) of the pictures' dtype and (M,) int64.

    Raises:
        ValueError: neighbors is below 1.

    Reference:
        Chawla et al., "SMOTE: Synthetic Minority Over-sampling Technique", JAIR 2002, section 4.2.
    """
    if neighbors < 1:
        raise ValueError(f"neighbors {neighbors} must be >= 1")

    def resample(rows: Rows, labels: Rows) -> tuple[Rows, Rows]:
        counts = np.bincount(labels)
        n_max = counts.max()
        new_rows, new_labels = [rows], [labels]
        for c in np.flatnonzero((counts > 0) & (counts < n_max)):
            k = min(neighbors, counts[c] - 1)
            if k == 0:
                new_rows.append(np.repeat(rows[labels == c], n_max - 1, axis=0))
            else:
                # imbalanced-learn takes one k for all classes, so each class is filled by itself beside the largest.
                pair = (labels == c) | (labels == counts.argmax())
                sampler = imblearn("over_sampling", "SMOTE")(k_neighbors=k, random_state=seed)
                filled, _ = sampler.fit_resample(rows[pair], labels[pair])
                new_rows.append(filled[pair.sum() :])
            new_labels.append(np.full(len(new_rows[-1]), c))
        return np.concatenate(new_rows), np.concatenate(new_labels)

    return on_rows(images, targets, resample)
