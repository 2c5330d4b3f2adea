"""What a source of images gives."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from lt_calib.dataset.files import Files


@dataclass(frozen=True)
class Source:
    """A data set as it is: any class counts, a test set of any prior, or none.

    A source is a function ``(root: str) -> Source``. Images are a tensor (N, H, W, C) uint8, or files that are read
    when they are wanted.

    Attributes:
        train_images: Of N images.
        train_targets: (N,) int64, labels 0 .. K - 1.
        test_images: Of M images; None has a part of the training images split off.
        test_targets: (M,) int64.
        class_names: K names.
        val_images: A validation part that the source brings along.
        val_targets: Its labels.
        train_groups: The patient, site or burst of each training image; a split keeps each on one side.
        remarks: What was left out, and why, in sentences.
    """

    train_images: Tensor | Files
    train_targets: Tensor
    test_images: Tensor | Files | None
    test_targets: Tensor | None
    class_names: tuple[str, ...]
    val_images: Tensor | Files | None = None
    val_targets: Tensor | None = None
    train_groups: Sequence[str] | None = None
    remarks: tuple[str, ...] = ()
