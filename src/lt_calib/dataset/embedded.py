"""Data whose images a frozen network has turned into features: the table kind."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import SequentialSampler

from lt_calib.dataset.data import Data, Loader
from lt_calib.dataset.resident import ResidentLoader
from lt_calib.sampler.base import EpochSampler

Rows = Callable[[Any, int, str], Tensor]  # batches of images, their number, what they are -> features (N, D) float32


class InOrder(EpochSampler):
    """Every training image once, in order; an epoch's number is that of a view."""

    @property
    def prior(self) -> Tensor:
        """(K,) float64, n / N."""
        return self.class_counts.double() / len(self.targets)

    def indices(self, generator: torch.Generator) -> Tensor:
        """Return 0 .. N - 1."""
        return torch.arange(len(self.targets))


class Embedded:
    """Data as a frozen network sees them: tables of features, computed when they are first wanted.

    Args:
        data: Of images in [0, 1], that is with mean 0 and deviation 1.
        rows: Computes features, :meth:`lt_calib.cache.features.FeatureStore.rows`.
        num_features: D.
        about: What decides the features of an image, as plain values.
        views: V >= 0 training views of each image as the transform draws them; epoch e takes view e mod V. 0 takes the
            image as it is evaluated.

    See :class:`lt_calib.dataset.data.Data` for the rest.
    """

    def __init__(self, data: Data, rows: Rows, num_features: int, about: dict[str, Any], views: int = 0) -> None:
        self.data = data
        self.rows = rows
        self.num_features = num_features
        self.about = about
        self.views = views
        self.name, self.num_classes, self.class_names = data.name, data.num_classes, data.class_names
        self.class_counts, self.cut_counts, self.groups = data.class_counts, data.cut_counts, data.groups
        self.imbalance_factor, self.real_imbalance_factor = data.imbalance_factor, data.real_imbalance_factor
        self.val_per_class, self.val_fraction = data.val_per_class, data.val_fraction
        self.split_seed, self.batch_size = data.split_seed, data.batch_size
        self.transform, self.splits, self.image_shape = data.transform, data.splits, data.image_shape
        self._tables: dict[Any, Tensor] = {}
        self._train: tuple[Tensor, Tensor] | None = None  # in the place of the training images' own

    @property
    def facts(self) -> dict[str, Any]:
        """Those of the images, and of the network that turned them into features."""
        return {**self.data.facts, "features": self.about}

    def targets(self, split: str) -> Tensor:
        """Return a split's labels, (N,) int64."""
        return self._train[1] if split == "train" and self._train is not None else self.data.targets(split)

    def listing(self) -> list[dict[str, Any]]:
        """List every image that is used."""
        return self.data.listing()

    def together(self, split: str) -> Sequence[str]:
        """Return the patient or site of each image of a split."""
        return self.data.together(split)

    def raw(self, split: str) -> Tensor:
        """Return a split's features (N, D) float32; of several views those of the images as they are evaluated."""
        if split == "train" and self._train is not None:
            return self._train[0]
        return self._table(split, None)

    def with_train(self, images: Tensor, targets: Tensor) -> "Embedded":
        """Return the data with other training features (N, D)."""
        other = copy.copy(self)
        other._train, other.views = (images, targets), 0
        other.class_counts = torch.bincount(targets, minlength=self.num_classes).tolist()
        return other

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
        """Load a split's features: as a sampler draws them, or in order."""
        targets = self.targets(split).to(device)
        if sampler is None:
            table = self.raw(split).to(device)
            return ResidentLoader(
                table, targets, SequentialSampler(range(len(targets))), 5000, None, None, rank, world_size
            )
        tables = [self._table(split, view).to(device) for view in range(self.views)] or [self.raw(split).to(device)]

        def pick(rows: Tensor, purpose: str, epoch: int, step: int) -> Tensor:
            return tables[epoch % len(tables)][rows]

        numbers = torch.arange(len(targets), device=device)
        return ResidentLoader(numbers, targets, sampler, self.batch_size, pick, partner, rank, world_size)

    def _table(self, split: str, view: int | None) -> Tensor:
        if (split, view) not in self._tables:
            if view is None:
                loader = self.data.loader(split)
            else:
                order = InOrder(self.data.targets(split), num_classes=self.num_classes, seed=0, purpose="view")
                order.set_epoch(view)
                loader = self.data.loader(split, order)
            what = f"{self.name}, {split}" + ("" if view is None else f", view {view + 1} of {self.views}")
            self._tables[split, view] = self.rows(loader, len(self.data.targets(split)), what)
            loader.close()
        return self._tables[split, view]
