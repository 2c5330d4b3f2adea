"""Cluster-based over-sampling."""

import numpy as np
from sklearn.cluster import KMeans
from torch import Tensor

from lt_calib.resample.balance import Rows, imblearn, on_rows


def cluster_over_sampling(images: Tensor, targets: Tensor, seed: int, clusters: int = 5) -> tuple[Tensor, Tensor]:
    """Repeat random pictures so that all classes, and within a class all its k-means clusters, are of one size.

    A class has min(clusters, n_c) clusters. With m the largest cluster of the largest class times its clusters, each
    class ends with about m pictures, shared equally by its clusters.

    Args:
        images: (N, ...) uint8 or float32.
        targets: (N,) int64.
        seed: >= 0.
        clusters: >= 1, of a class.

    Shape:
        Returns (M, ...) of the pictures' dtype and (M,) int64.

    Raises:
        ValueError: clusters is below 1.

    Reference:
        Jo and Japkowicz, "Class Imbalances versus Small Disjuncts", SIGKDD Explorations 2004.
    """
    if clusters < 1:
        raise ValueError(f"clusters {clusters} must be >= 1")

    def resample(rows: Rows, labels: Rows) -> tuple[Rows, Rows]:
        counts = np.bincount(labels)
        cluster = np.zeros(len(labels), dtype=np.int64)
        for c in np.flatnonzero(counts):
            found = KMeans(min(clusters, counts[c]), n_init="auto", random_state=seed).fit_predict(rows[labels == c])
            cluster[labels == c] = c * clusters + found
        sizes = np.bincount(cluster, minlength=len(counts) * clusters)
        by_class = sizes.reshape(len(counts), clusters)
        parts = (by_class > 0).sum(1)
        size = int((by_class.max(1) * parts).max())  # of every class afterwards
        wanted = {int(k): max(int(n), -(-size // parts[k // clusters])) for k, n in enumerate(sizes) if n}
        sampler = imblearn("over_sampling", "RandomOverSampler")(sampling_strategy=wanted, random_state=seed)
        new, kept = sampler.fit_resample(rows, cluster)
        return new, kept // clusters

    return on_rows(images, targets, resample)
