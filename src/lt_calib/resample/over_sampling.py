"""Random over-sampling."""

from torch import Tensor

from lt_calib.resample.balance import imblearn, on_rows


def over_sampling(images: Tensor, targets: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Repeat random pictures of every class up to n_max.

    Args:
        images: (N, ...) uint8 or float32.
        targets: (N,) int64.
        seed: >= 0.

    Shape:
        Returns (M, ...) of the pictures' dtype and (M,) int64, M = K n_max.
    """
    return on_rows(images, targets, imblearn("over_sampling", "RandomOverSampler")(random_state=seed).fit_resample)
