"""Normalization alone."""

from collections.abc import Sequence

from lt_calib.transform.crop_flip import CropFlip


class Normalize(CropFlip):
    """Training and evaluation: normalized, neither cropped nor mirrored.

    Args:
        mean: Of each channel, on images scaled to [0, 1].
        std: Standard deviation, likewise.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(mean, std, padding=0, flip=False)
