"""Random under-sampling."""

from torch import Tensor

from lt_calib.resample.balance import imblearn, on_rows


def under_sampling(images: Tensor, targets: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Keep n_min random pictures of every class.

    Args:
        images: (N, ...) uint8 or float32.
        targets: (N,) int64.
        seed: >= 0.

    Shape:
        Returns (M, ...) of the pictures' dtype and (M,) int64, M = K n_min.
    """
    return on_rows(images, targets, imblearn("under_sampling", "RandomUnderSampler")(random_state=seed).fit_resample)
