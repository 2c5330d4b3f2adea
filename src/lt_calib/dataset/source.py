"""What a source of pictures gives."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Source:
    """A balanced data set that fits in memory.

    A source is a function ``(root: str) -> Source``.

    Attributes:
        train_images: (N, H, W, 3) uint8.
        train_targets: (N,) int64, labels 0 .. K - 1.
        test_images: (M, H, W, 3) uint8.
        test_targets: (M,) int64.
        class_names: K names.
    """

    train_images: Tensor
    train_targets: Tensor
    test_images: Tensor
    test_targets: Tensor
    class_names: tuple[str, ...]
