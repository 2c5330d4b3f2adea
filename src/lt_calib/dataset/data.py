"""What the rest of the package sees of data; nothing outside this folder asks how they are kept."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from lt_calib.sampler.base import EpochSampler


class Loader(Protocol):
    """Batches of one split: lists ``[images, targets]``, with a partner sampler those of the partners behind."""

    def __iter__(self) -> Iterator[list[Tensor]]:
        """Yield the batches of the epoch."""
        ...

    def __len__(self) -> int:
        """Return their number."""
        ...

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, 0-based."""
        ...

    def order(self) -> Tensor:
        """Return the epoch's indices in the order in which several processes' batches are gathered."""
        ...

    def close(self) -> None:
        """End the processes that it has started, where it has."""
        ...


class Transform(Protocol):
    """What happens to images before augmentation, once in training and once in evaluation.

    These are by choice, and matter for images in files:

    - ``fit(image, size)`` brings a decoded RGB image to ``size`` x ``size``; without it the image is squeezed.
    - ``kept(size)``: the side at which it is to be kept for a network that sees ``size``; without it that size.
    - ``part(width, height, generator) -> (left, top, right, bottom)``: the part that training takes of an image that is
      read anew each epoch, in the place of ``fit``.
    - ``vary(images, generator)``: all else that training does before it normalizes, (B, H, W, C) uint8 -> the same.
      Workers then need not normalize image by image; without it they call ``train``, on one image at a time.

    Attributes:
        mean: By which channels are normalized, on images scaled to [0, 1].
        std: Likewise.
    """

    mean: list[float]
    std: list[float]

    def train(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Transform a training batch, (B, H, W, C) uint8 -> (B, C, H, W) float32."""
        ...

    def evaluate(self, images: Tensor) -> Tensor:
        """Transform a batch without chance, likewise."""
        ...

    def undo(self, images: Tensor) -> Tensor:
        """Show what the network sees, (B, C, H, W) -> (B, H, W, C) in [0, 1]."""
        ...


class Data(Protocol):
    """A training set with its class counts, a test set, and by choice a validation part.

    Attributes:
        name: In folders and tables.
        num_classes: K.
        class_counts: (K,) training images per class, as they really are.
        cut_counts: (K,) those before any resampling: the long tail itself, by which the groups are.
        class_names: K names.
        groups: Class indices of head, medium and tail.
        imbalance_factor: That was asked for, or the data's own where they were not cut.
        real_imbalance_factor: That which the training images have, before any resampling.
        val_per_class: Images per class that are held out.
        val_fraction: Of each class that is held out; 0 where the validation part is not as long-tailed.
        split_seed: Of the split.
        batch_size: Of training, over all processes.
        image_shape: (C, H, W) of what the network sees; (D,) where there are no images, but features from the start.
        num_features: D of a table of features, which stands in the place of images; None of images.
        splits: ``"train"``, ``"test"``, and ``"val"`` where there is one.
        facts: What decides which samples are trained on, as plain values.
        transform: Of its images.
    """

    name: str
    num_classes: int
    class_counts: list[int]
    cut_counts: list[int]
    class_names: tuple[str, ...]
    groups: dict[str, list[int]]
    imbalance_factor: float
    real_imbalance_factor: float
    val_per_class: int
    val_fraction: float
    split_seed: int
    batch_size: int
    transform: Transform

    @property
    def num_features(self) -> int | None: ...  # noqa: D102

    @property
    def image_shape(self) -> tuple[int, ...]: ...  # noqa: D102

    @property
    def splits(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def facts(self) -> dict[str, Any]: ...  # noqa: D102

    def targets(self, split: str) -> Tensor:
        """Return a split's labels, (N,) int64."""
        ...

    def raw(self, split: str) -> Tensor:
        """Return a split's images as they are kept in memory, (N, H, W, C) uint8, or its features (N, D) float32."""
        ...

    def listing(self) -> list[dict[str, Any]]:
        """List every image that is used: image, label, class, split; empty where they are not files."""
        ...

    def together(self, split: str) -> Sequence[str]:
        """Return the patient or site of each image of a split, where the source says so; else nothing."""
        ...

    def with_train(self, images: Tensor, targets: Tensor) -> "Data":
        """Return the data with other training images, or with features (N, D) float32 in their place."""
        ...

    def loader(
        self,
        split: str,
        sampler: EpochSampler | None = None,
        *,
        partner: EpochSampler | None = None,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
    ) -> Loader:
        """Load a split: as a sampler draws it, transformed for training, or in order, transformed for evaluation."""
        ...
