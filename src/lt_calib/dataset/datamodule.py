"""The long-tailed data: what is trained on, what is held out, and what both stages draw."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import SequentialSampler

from lt_calib.dataset import long_tail
from lt_calib.dataset.loader import ResidentLoader
from lt_calib.dataset.source import Source
from lt_calib.dataset.transform import normalise, random_crop_flip
from lt_calib.errors import InputError
from lt_calib.sampler.base import EpochSampler
from lt_calib.sampler.instance_balanced import InstanceBalanced
from lt_calib.seed import generator


class LongTailedDataModule(LightningDataModule):
    """A balanced source made long-tailed, with a balanced validation part by choice and the balanced test set.

    Args:
        source: ``(root) -> Source``.
        root: The folder of the source's files.
        name: The data set's name in folders and tables.
        imbalance_factor: IF = n_max / n_min >= 1.
        val_per_class: V >= 0 pictures of each class held out for validation; with 0 nothing may be selected.
        split_seed: Seed of the split, the same for all jobs.
        groups: Rule of head / medium / tail, see :func:`lt_calib.dataset.long_tail.groups`.
        batch_size: Of training, over all processes.
        eval_batch_size: Of evaluation.
        mean: Of each channel, on pictures scaled to [0, 1].
        std: Standard deviation, likewise.
        padding: Pixels around the picture for the random crop.
        flip: Whether training pictures are mirrored at random.

    Attributes:
        num_classes: K, after :meth:`setup`.
        class_counts: (K,) training pictures a class, as they really are.
        groups: Class indices of head, medium and tail.

    Raises:
        ValueError: a size or number out of its range.
    """

    num_classes: int
    class_counts: list[int]
    class_names: tuple[str, ...]
    groups: dict[str, list[int]]

    def __init__(
        self,
        source: Callable[[str], Source],
        *,
        root: str = "data",
        name: str = "data",
        imbalance_factor: float = 100,
        val_per_class: int = 0,
        split_seed: int = 0,
        groups: Sequence[int] | str = "thirty_forty_thirty",
        batch_size: int = 128,
        eval_batch_size: int = 500,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.25, 0.25, 0.25),
        padding: int = 4,
        flip: bool = True,
    ) -> None:
        super().__init__()
        at_least = {"batch_size": (batch_size, 1), "eval_batch_size": (eval_batch_size, 1), "padding": (padding, 0)}
        for key, (value, least) in at_least.items():
            if value < least:
                raise ValueError(f"dataset.{key} {value} must be >= {least}")
        self.source = source
        self.root = root
        self.name = name
        self.imbalance_factor = imbalance_factor
        self.val_per_class = val_per_class
        self.split_seed = split_seed
        self.group_rule = groups
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.mean = list(mean)
        self.std = list(std)
        self.padding = padding
        self.flip = flip
        self.splits: dict[str, tuple[Tensor, Tensor]] = {}  # images (N, H, W, 3) uint8, targets (N,) int64
        self.sampler: EpochSampler | None = None
        self.partner: EpochSampler | None = None

    def setup(self, stage: str | None = None) -> None:
        """Load the source and cut the split; a second call does nothing."""
        if self.splits:
            return
        source = self.source(self.root)
        available = torch.bincount(source.train_targets)
        self.class_names = source.class_names
        self.num_classes = len(available)
        wanted = long_tail.class_counts(int(available.min()), self.num_classes, self.imbalance_factor)
        train, val = long_tail.split_indices(source.train_targets.numpy(), wanted, self.val_per_class, self.split_seed)
        self.splits["train"] = source.train_images[train], source.train_targets[train]
        if len(val):
            self.splits["val"] = source.train_images[val], source.train_targets[val]
        self.splits["test"] = source.test_images, source.test_targets
        self.class_counts = torch.bincount(self.splits["train"][1], minlength=self.num_classes).tolist()
        self.groups = long_tail.groups(self.class_counts, self.group_rule)

    @property
    def facts(self) -> dict[str, Any]:
        """What decides which pictures are trained on, as plain values."""
        return {
            "name": self.name,
            "imbalance_factor": float(self.imbalance_factor),
            "val_per_class": self.val_per_class,
            "split_seed": self.split_seed,
        }

    def replace_train(self, images: Tensor, targets: Tensor) -> None:
        """Train on other pictures, or on features (N, D) float32; the groups stay those of the long tail."""
        self.splits = self.splits | {"train": (images, targets)}
        self.class_counts = torch.bincount(targets, minlength=self.num_classes).tolist()

    def draw_with(self, sampler: EpochSampler, partner: EpochSampler | None = None) -> None:
        """Choose what the next fit draws, and what partners; without it, every picture once an epoch."""
        self.sampler = sampler
        self.partner = partner

    @property
    def _device(self) -> torch.device:
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

    @property
    def _process(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def train_dataloader(self) -> ResidentLoader:
        """Training batches: cropped, flipped, normalised."""
        images, targets = self.splits["train"]
        sampler = self.sampler or InstanceBalanced(targets, num_classes=self.num_classes, seed=0)
        rank, world_size = self._process
        if 0 < len(sampler) % self.batch_size < world_size:
            raise InputError(
                f"dataset.batch_size={self.batch_size} leaves {len(sampler) % self.batch_size} of {len(sampler)} "
                f"pictures for the last batch, too few for {world_size} processes; take another"
            )

        def transform(images: Tensor, purpose: str, epoch: int, step: int) -> Tensor:
            if images.ndim == 2:  # features
                return images
            draws = generator(
                sampler.seed,
                f"crop_flip of {purpose}",
                stage=sampler.stage,
                epoch=epoch,
                step=step,
                rank=rank,
                device=images.device,
            )
            return normalise(random_crop_flip(images, draws, self.padding, self.flip), self.mean, self.std)

        return ResidentLoader(
            images.to(self._device),
            targets.to(self._device),
            sampler,
            self.batch_size,
            transform=transform,
            partner=self.partner,
            rank=rank,
            world_size=world_size,
        )

    def as_pictures(self, images: Tensor) -> Tensor:
        """Undo the normalisation, for figures: (B, 3, H, W) -> (B, H, W, 3) in [0, 1]."""
        mean, std = (torch.tensor(x, device=images.device) for x in (self.mean, self.std))
        return (images.float().permute(0, 2, 3, 1) * std + mean).clamp(0, 1)

    def val_dataloader(self) -> ResidentLoader | list[ResidentLoader]:
        """The validation part in order; nothing where none is held out."""
        return self.eval_loader("val") if "val" in self.splits else []

    def test_dataloader(self) -> ResidentLoader:
        """The test set in order."""
        return self.eval_loader("test")

    def eval_loader(self, split: str) -> ResidentLoader:
        """Pictures of one split in order, normalised only."""
        images, targets = self.splits[split]
        rank, world_size = self._process
        return ResidentLoader(
            images.to(self._device),
            targets.to(self._device),
            SequentialSampler(range(len(targets))),
            self.eval_batch_size,
            transform=lambda images, *draw: normalise(images, self.mean, self.std),
            rank=rank,
            world_size=world_size,
        )
