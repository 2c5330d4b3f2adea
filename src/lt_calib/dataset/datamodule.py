"""The long-tailed data: what is trained on, what is held out, and what both stages draw."""

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import SequentialSampler

from lt_calib.dataset import checked
from lt_calib.dataset.cut import cut, fingerprint, resized
from lt_calib.dataset.data import Loader, Transform
from lt_calib.dataset.files import Files, kept_side
from lt_calib.dataset.long_tail import groups as groups_of
from lt_calib.dataset.resident import ResidentLoader
from lt_calib.dataset.source import Source
from lt_calib.dataset.split import Part, fit_in_memory, parts_of
from lt_calib.dataset.streamed import Reader, StreamedLoader, usual_workers
from lt_calib.errors import InputError, check_seed
from lt_calib.sampler.base import EpochSampler
from lt_calib.sampler.instance_balanced import InstanceBalanced
from lt_calib.seed import generator
from lt_calib.transform.crop_flip import check_normalization
from lt_calib.transform.normalize import Normalize

log = logging.getLogger(__name__)

SMALLEST, LARGEST = 8, 128  # batches


class LongTailedDataModule(LightningDataModule):
    """A source, cut to a long tail or as it is, with a validation part by choice and a test set.

    The images stay in memory, on the device that trains, or are read from their files by workers; see
    :class:`lt_calib.dataset.data.Data`.

    Args:
        source: ``(root) -> Source``.
        root: The folder of the source's files.
        name: The data set's name in folders and tables.
        imbalance_factor: IF = n_max / n_min >= 1 to which the source is cut; None keeps its counts.
        profile: Of the tail, see :func:`lt_calib.dataset.long_tail.class_counts`.
        class_counts: (K,) training images that are kept of each class, in the place of both.
        test_fraction: Of each class that is split off where the source has no test set.
        skip_broken: Whether images that cannot be read are left out, and not refused.
        resident_below: How much memory images in files may take, ``"4GB"``; of more they are read anew each epoch.
        num_workers: Processes that read them then, >= 0; None takes as many as there are cores.
        remember_in: Folder where it is kept which files could be read; None checks them at each start.
        val_per_class: V >= 0 images of each class held out for validation; with 0 nothing may be selected.
        val_fraction: In [0, 1), of each class held out in the place of that, as long-tailed as what is trained on.
        split_seed: Seed of the split, the same for all jobs.
        groups: Rule of head / medium / tail, see :func:`lt_calib.dataset.long_tail.groups`.
        batch_size: Of training, over all processes; None takes a 32nd of the training images, but 8 to 128.
        eval_batch_size: Of evaluation.
        size: Side in pixels to which all images are resized; None leaves them.
        transform: Of the images; None normalizes to mean 1/2 and deviation 1/4.

    Attributes:
        num_classes: K, after :meth:`setup`.
        class_counts: (K,) training images per class, as they really are.
        cut_counts: (K,) those before any resampling: the long tail itself, by which the groups are.
        groups: Class indices of head, medium and tail.
        real_imbalance_factor: That which the validation part leaves, see :func:`lt_calib.dataset.cut.cut`.

    Raises:
        ValueError: a size or number out of its range.
    """

    num_classes: int
    class_counts: list[int]
    cut_counts: list[int]
    class_names: tuple[str, ...]
    groups: dict[str, list[int]]
    real_imbalance_factor: float

    def __init__(
        self,
        source: Callable[[str], Source],
        *,
        root: str = "data",
        name: str = "data",
        imbalance_factor: float | None = 100,
        profile: str = "exp",
        class_counts: Sequence[int] | None = None,
        test_fraction: float = 0.2,
        skip_broken: bool = False,
        resident_below: str | int = "4GB",
        num_workers: int | None = None,
        remember_in: str | None = None,
        val_per_class: int = 0,
        val_fraction: float = 0.0,
        split_seed: int = 0,
        groups: Sequence[int] | str = "thirty_forty_thirty",
        batch_size: int | None = 128,
        eval_batch_size: int = 500,
        size: int | None = None,
        transform: Transform | None = None,
    ) -> None:
        super().__init__()
        for key, value in {"batch_size": batch_size, "eval_batch_size": eval_batch_size, "size": size}.items():
            if value is not None and value < 1:
                raise ValueError(f"dataset.{key} {value} must be >= 1")
        if num_workers is not None and num_workers < 0:
            raise ValueError(f"dataset.num_workers {num_workers} must be >= 0")
        self.source = source
        self.root = root
        self.name = name
        self.imbalance_factor = imbalance_factor
        self.profile = profile
        self.kept_counts = class_counts
        self.test_fraction = test_fraction
        self.skip_broken = skip_broken
        self.resident_below = resident_below
        self.num_workers = num_workers
        self.remember_in = remember_in
        self.val_per_class = val_per_class
        self.val_fraction = val_fraction
        self.split_seed = check_seed(split_seed, "dataset.split_seed")
        self.group_rule = groups
        self.batch_size = batch_size or LARGEST
        self._by_size = batch_size is None
        self.eval_batch_size = eval_batch_size
        self.size = size
        self.transform: Transform = transform or Normalize([0.5] * 3, [0.25] * 3)
        self._splits: dict[str, tuple[Tensor | Files, Tensor]] = {}  # images (N, H, W, C) uint8, targets (N,) int64
        self._parts: dict[str, Part] = {}
        self._fingerprint: str | None = None

    def setup(self, stage: str | None = None) -> None:
        """Load the source and cut the split; a second call does nothing.

        Raises:
            InputError: images that cannot be read or have other channels than the transform, or settings that do not
                fit them.
        """
        if self._splits:
            return
        source = self.source(self.root)
        for remark in source.remarks:
            log.info("%s: %s.", self.name, remark)
        parts = parts_of(source, self.test_fraction, self.split_seed)
        side = kept_side(self.transform, self.size)
        if fit_in_memory(parts, side, self.resident_below):
            parts = {split: part.decoded(side, self.skip_broken, self.transform) for split, part in parts.items()}
        else:
            parts = self._checked(parts)
        self.class_names = source.class_names
        self.num_classes = len(source.class_names)
        parts, self.real_imbalance_factor = cut(
            parts, self.class_names, self.imbalance_factor, self.profile, self.kept_counts, self.val_per_class,
            self.val_fraction, self.split_seed,
        )  # fmt: skip
        if self.imbalance_factor is None:
            self.imbalance_factor = self.real_imbalance_factor
        for split, part in parts.items():
            if isinstance(part.images, Tensor):
                parts[split] = replace(part, images=resized(part.images, side))
        self._splits = {split: (part.images, part.targets) for split, part in parts.items()}
        self._parts = parts
        if self.num_features is None:
            check_normalization(self.transform.mean, self.transform.std, self.image_shape[0])
        self.class_counts = torch.bincount(self.targets("train"), minlength=self.num_classes).tolist()
        self.cut_counts = list(self.class_counts)
        if self._by_size:
            self.batch_size = min(max(sum(self.class_counts) // 32, SMALLEST), LARGEST)
        self.groups = groups_of(self.cut_counts, self.group_rule)
        self._fingerprint = fingerprint(parts["train"])

    def _checked(self, parts: dict[str, Part]) -> dict[str, Part]:
        file = checked.file_of(Path(self.remember_in).expanduser(), self.root) if self.remember_in else None
        known = checked.load(file) if file else {}
        before = len(known)
        try:
            return {split: part.checked(self.skip_broken, known) for split, part in parts.items()}
        finally:
            if file and len(known) > before:
                checked.save(file, known)

    def listing(self) -> list[dict[str, Any]]:
        """List every image that is used, in its order: image, label, class, split and group; none of a tensor's."""
        grouped = any(part.groups for part in self._parts.values())
        rows = []
        for split, part in self._parts.items():
            for name, label, group in zip(part.names, part.targets.tolist(), part.groups or part.names, strict=False):
                row = {"image": name, "label": label, "class": self.class_names[label], "split": split}
                rows.append(row | ({"group": group} if grouped else {}))
        return rows

    @property
    def facts(self) -> dict[str, Any]:
        """What decides which images are trained on, as plain values."""
        return {
            "name": self.name,
            "imbalance_factor": float(self.imbalance_factor or 0),
            "val_per_class": self.val_per_class,
            **({"val_fraction": self.val_fraction} if self.val_fraction else {}),
            "split_seed": self.split_seed,
            "sha256": self._fingerprint,
        }

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that are there."""
        return tuple(self._splits)

    @property
    def num_features(self) -> int | None:
        """D of a table of features, None of images."""
        kept = self._splits["test"][0]
        return kept.shape[1] if isinstance(kept, Tensor) and kept.ndim == 2 else None

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(C, H, W), or (D,) of a table."""
        if self.num_features is not None:
            return (self.num_features,)
        images = self._splits["test"][0]
        h, w, c = images.shape[1:] if isinstance(images, Tensor) else (0, 0, 3)
        return c, self.size or h, self.size or w

    def targets(self, split: str) -> Tensor:
        """Return a split's labels, (N,) int64."""
        return self._splits[split][1]

    def together(self, split: str) -> Sequence[str]:
        """Return the patient or site of each image of a split, where the source says so; else nothing."""
        return self._parts[split].groups

    def raw(self, split: str) -> Tensor:
        """Return a split's images, (N, H, W, C) uint8.

        Raises:
            InputError: they are not in memory.
        """
        images = self._splits[split][0]
        if isinstance(images, Files):
            raise InputError(
                f"all {len(images)} images of {split} are wanted in memory, and dataset.resident_below="
                f"{self.resident_below} has them read anew each epoch: raise that limit, or resample features in the "
                "place of pixels, resample.space=features"
            )
        return images

    def with_train(self, images: Tensor, targets: Tensor) -> "LongTailedDataModule":
        """Return the data with other training images or features (N, D); the groups stay those of the long tail."""
        other = copy.copy(self)
        other._splits = self._splits | {"train": (images, targets)}
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
        """Load a split: as a sampler draws it, transformed for training, or in order, transformed for evaluation."""
        images, targets = self._splits[split]
        order, size = (sampler, self.batch_size) if sampler else (SequentialSampler(targets), self.eval_batch_size)
        last = len(order) % size
        if sampler and 0 < last < world_size:
            raise InputError(
                f"dataset.batch_size={size} leaves {last} of {len(order)} images for the last batch, too few for "
                f"{world_size} processes; take another"
            )
        place = (partner, rank, world_size)
        if isinstance(images, Files):
            workers = usual_workers() if self.num_workers is None else self.num_workers
            reader = Reader(self.transform, self.image_shape[1])
            return StreamedLoader(images, targets, reader, order, size, device, workers, *place)

        def transform(images: Tensor, purpose: str, epoch: int, step: int) -> Tensor:
            if images.ndim == 2:  # features
                return images
            if sampler is None:
                return self.transform.evaluate(images)
            at: Any = {"stage": sampler.stage, "epoch": epoch, "step": step, "rank": rank, "device": images.device}
            return self.transform.train(images, generator(sampler.seed, f"crop_flip of {purpose}", **at))

        return ResidentLoader(images.to(device), targets.to(device), order, size, transform, *place)

    def _on_trainer(self) -> dict[str, Any]:
        """Say where a trainer of one's own wants the batches."""
        at: Any = self.trainer
        return {"device": at.strategy.root_device, "rank": at.global_rank, "world_size": at.world_size} if at else {}

    def train_dataloader(self) -> Loader:
        """Every training image once per epoch."""
        sampler = InstanceBalanced(self.targets("train"), num_classes=self.num_classes, seed=0)
        return self.loader("train", sampler, **self._on_trainer())

    def val_dataloader(self) -> Loader | list[Loader]:
        """The validation part in order; nothing where none is held out."""
        return self.loader("val", **self._on_trainer()) if "val" in self.splits else []

    def test_dataloader(self) -> Loader:
        """The test set in order."""
        return self.loader("test", **self._on_trainer())
