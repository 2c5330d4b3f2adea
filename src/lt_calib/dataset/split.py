"""Which samples are trained on, held out and tested: splitting off, holding out, cutting to a tail."""

import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor

from lt_calib.dataset.files import Files
from lt_calib.dataset.source import Source
from lt_calib.errors import InputError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """The samples of one split.

    Attributes:
        images: (N, H, W, C) uint8, or files that are not decoded yet.
        targets: (N,) int64.
        names: What each is called; none where the source keeps no files.
        groups: The patient or site of each, where the source says so.
        hashes: Of the files' contents, where they have been checked.
    """

    images: Tensor | Files
    targets: Tensor
    names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    hashes: tuple[bytes, ...] = ()

    def __getitem__(self, indices: Any) -> "Part":
        picked = [int(i) for i in indices]
        of_each: Any = (self.names, self.groups, self.hashes)
        return Part(self.images[torch.tensor(picked)] if isinstance(self.images, Tensor) else self.images[picked],
                    self.targets[torch.tensor(picked)],
                    *(tuple(of[i] for i in picked) if of else () for of in of_each))  # fmt: skip

    def decoded(self, size: int | None, skip_broken: bool, transform: Any = None) -> "Part":
        """Read the images; what cannot be read is refused, or left out and said.

        Raises:
            InputError: images that cannot be read, or no size to bring them to.
        """
        if isinstance(self.images, Tensor):
            return self
        if size is None:
            raise InputError("dataset.size=null: images in files are brought to one size, dataset.size=64, say")
        images, broken = self.images.decode(size, transform)
        return replace(self, images=images)._without(broken, skip_broken)

    def checked(self, skip_broken: bool, known: dict[bytes, bytes]) -> "Part":
        """Read the images and keep none; what cannot be read is refused, or left out and said.

        Args:
            skip_broken: Whether it is left out.
            known: See :meth:`lt_calib.dataset.files.Files.check`.

        Raises:
            InputError: images that cannot be read.
        """
        if isinstance(self.images, Tensor):
            return self
        hashes, broken = self.images.check(known)
        return replace(self, hashes=tuple(hashes))._without(broken, skip_broken)

    def _without(self, broken: dict[int, str], skip_broken: bool) -> "Part":
        if not broken:
            return self
        n, some = len(self.images), "; ".join(list(broken.values())[:5])
        if not skip_broken:
            raise InputError(
                f"{len(broken)} of {n} images cannot be read: {some}. Mend or remove them, or leave them out by "
                "dataset.skip_broken=true"
            )
        log.warning("%d of %d images cannot be read and are left out: %s", len(broken), n, some)
        return self[[i for i in range(n) if i not in broken]]


def parts_of(source: Source, test_fraction: float, seed: int) -> dict[str, Part]:
    """Take a source's splits; without a test set of its own a part of the training images is split off.

    Args:
        source: As it is.
        test_fraction: Of each class that is split off, in (0, 1).
        seed: Of what is split off.
    """
    train = _part(source.train_images, source.train_targets, source.train_groups or ())
    parts = {"train": train}
    if source.val_images is not None and source.val_targets is not None:
        parts["val"] = _part(source.val_images, source.val_targets)
    if source.test_images is not None and source.test_targets is not None:
        return parts | {"test": _part(source.test_images, source.test_targets)}
    chosen = split_off(train.targets.numpy(), test_fraction, seed, train.groups or None)
    log.info(
        "No test set is there: %d of %d images are split off as one (dataset.test_fraction=%g%s).",
        int(chosen.sum()), len(chosen), test_fraction, ", whole groups" if train.groups else "",
    )  # fmt: skip
    return parts | {"train": train[np.flatnonzero(~chosen)], "test": train[np.flatnonzero(chosen)]}


def _part(images: Tensor | Files, targets: Tensor, groups: Sequence[str] = ()) -> Part:
    return Part(images, targets, images.names if isinstance(images, Files) else (), tuple(groups))


def split_off(
    targets: NDArray[np.int64],
    fraction: float,
    seed: int,
    groups: Sequence[str] | None = None,
    key: str = "dataset.test_fraction",
) -> NDArray[np.bool_]:
    """Choose a stratified part: of each class round(fraction n_c) samples, so that one is left at least.

    With groups, whole ones: one of round(1 / fraction) stratified folds. A class that would be left without a sample
    takes its groups back.

    Args:
        targets: (N,) labels.
        fraction: In (0, 1).
        seed: Of the choice.
        groups: (N,) names.
        key: Of the setting that the fraction is, for errors.

    Returns:
        (N,) whether a sample is chosen.

    Raises:
        InputError: the fraction is out of its range, or there are too few groups.
    """
    if not 0 < fraction < 1:
        raise InputError(f"{key}={fraction} must be in (0, 1): 0.2 is a fifth of each class")
    chosen = np.zeros(len(targets), dtype=bool)
    if groups is None:
        rng = np.random.RandomState(seed)
        for c in np.unique(targets):
            mine = np.flatnonzero(targets == c)
            chosen[rng.permutation(mine)[: min(round(fraction * len(mine)), len(mine) - 1)]] = True
        return chosen
    names, folds = np.asarray(groups), max(2, round(1 / fraction))
    if len(np.unique(names)) < folds:
        raise InputError(
            f"{len(np.unique(names))} groups are too few to split off a fraction of {fraction:g}: take a larger "
            f"{key}, or give the table a column split"
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    chosen[next(iter(splitter.split(targets, targets, names)))[1]] = True
    for c in np.unique(targets):
        if chosen[targets == c].all():
            chosen[np.isin(names, names[targets == c])] = False
    return chosen


def fit_in_memory(parts: Mapping[str, Part], size: int | None, limit: str | int) -> bool:
    """Say whether all images, decoded, take no more memory than ``limit``.

    Args:
        parts: What is not in files is in memory already.
        size: Side in pixels at which they are kept.
        limit: ``"4GB"``; 0 lets none fit.

    Raises:
        InputError: the limit is no size.
    """
    found = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?)B?\s*", str(limit), re.IGNORECASE)
    if found is None:
        raise InputError(f"dataset.resident_below={limit} must be a size such as 4GB or 500MB")
    most = float(found[1]) * 1000 ** " KMGT".index(found[2].upper() or " ")
    takes = sum(len(part.images) for part in parts.values() if isinstance(part.images, Files)) * 3 * (size or 0) ** 2
    if takes > most:
        log.info(
            "The images would take %.1f GB of memory at %d x %d, and dataset.resident_below=%s: workers read them anew "
            "each epoch.", takes / 1e9, size, size, limit,
        )  # fmt: skip
    return takes <= most


def folds_of(targets: Tensor, together: Sequence[str], folds: int, seed: int) -> Tensor:
    """Deal the rows of each class out to folds, in a random order; what belongs together stays together.

    Args:
        targets: (N,) int64.
        together: The patient or site of each row, N of them; none where the source has none.
        folds: F >= 2.
        seed: Of the order.

    Returns:
        (N,) int64, each row's fold of 0 to F - 1.
    """
    place = torch.zeros_like(targets)
    if together:
        split = StratifiedGroupKFold(folds, shuffle=True, random_state=np.random.RandomState(seed))
        rows = np.zeros((len(targets), 1))
        with warnings.catch_warnings():  # of classes with fewer rows than folds
            warnings.simplefilter("ignore")
            for fold, (_, held) in enumerate(split.split(rows, targets.numpy(), np.asarray(together))):
                place[torch.from_numpy(held)] = fold
        return place
    order = torch.from_numpy(np.random.RandomState(seed).permutation(len(targets)))
    by_class = order[targets[order].argsort(stable=True)]  # the next class goes on where the last one ended
    place[by_class] = torch.arange(len(targets)) % folds
    return place
