"""The loader of data that do not fit in memory: images are decoded and transformed in worker processes."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, SequentialSampler, default_collate

from lt_calib.dataset.files import Files, kept_side, to_square
from lt_calib.dataset.loader import EpochLoader, Piece
from lt_calib.errors import InputError
from lt_calib.seed import generator
from lt_calib.transform.crop_flip import normalize

CHUNK = 64  # images at most that a worker reads at a time: two chunks a worker wait in shared memory
MOST = 16  # workers of a process, where none are set


@dataclass(frozen=True)
class Chunk:
    """What a worker reads at a time.

    Attributes:
        files: The images.
        draws: Whose draws they get: seed, stage, epoch, purpose; None where they are evaluated.
        first: Place of the first one in the epoch.
    """

    files: Files
    draws: dict[str, Any] | None
    first: int


class Reader(Dataset[Tensor | InputError]):
    """Reads a chunk's images, in a worker: as a data set of torch's, of which the chunks themselves are the indices.

    A worker so holds no list of all images, which it would copy by and by.

    Args:
        transform: See :class:`lt_calib.dataset.data.Transform`.
        size: Side of what the network sees.
    """

    def __init__(self, transform: Any, size: int) -> None:
        self.transform = transform
        self.size = size
        self.side = kept_side(transform, size) or size

    def __getitem__(self, chunk: Chunk) -> Tensor | InputError:
        """Return (N, H, W, 3) uint8, not normalized, or what ``train`` of a transform without ``vary`` gives.

        An image that cannot be read is no exception, which torch would wrap in a page of traceback.
        """
        try:
            images = [self._image(chunk, i) for i in range(len(chunk.files))]
        except InputError as error:
            return error
        return default_collate(images) if images else torch.zeros(0, self.side, self.side, 3, dtype=torch.uint8)

    def _image(self, chunk: Chunk, i: int) -> Tensor:
        if chunk.draws is None:
            return self._fitted(chunk.files, i)
        draws = generator(**chunk.draws, step=chunk.first + i)
        part, vary = (getattr(self.transform, name, None) for name in ("part", "vary"))
        if part is None:
            image = self._fitted(chunk.files, i)
        else:
            read = chunk.files.read(i, size=self.size, part=lambda width, height: part(width, height, draws))
            image = torch.from_numpy(np.array(read))
        return (vary or self.transform.train)(image[None], draws)[0]

    def _fitted(self, files: Files, i: int) -> Tensor:
        return torch.from_numpy(np.array(to_square(files.read(i, size=self.side), self.side, self.transform)))


class StreamedLoader(EpochLoader):
    """Yields lists ``[images, targets]`` as :class:`lt_calib.dataset.resident.ResidentLoader`, of images in files.

    An image's draws come from (seed, stage, epoch, purpose) and its place in the epoch: batches are the same for any
    number of workers and processes, and an image that is drawn twice is not cropped twice alike.

    Args:
        files: N images.
        targets: (N,) int64.
        reader: What the workers do.
        sampler: Yields global indices, the same on every rank; what torch's SequentialSampler yields is evaluated.
        batch_size: Of the global batch, >= 1.
        device: On which the batches are.
        num_workers: Processes that read, >= 0; 0 reads in this one. Those of training stay from epoch to epoch, until
            :meth:`close`.
        partner: A second sampler, of as many indices.
        rank: This process, 0 .. world_size - 1.
        world_size: Processes.

    Raises:
        ValueError: batch_size is below 1.
    """

    def __init__(
        self,
        files: Files,
        targets: Tensor,
        reader: Reader,
        sampler: Sampler[int],
        batch_size: int,
        device: torch.device | str = "cpu",
        num_workers: int = 0,
        partner: Sampler[int] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(sampler, batch_size, partner, rank, world_size)
        self.files = files
        self.targets = targets
        self.reader = reader
        self.device = torch.device(device)
        self.num_workers = num_workers
        self.trains = not isinstance(sampler, SequentialSampler)
        self.stays = self.trains and num_workers > 0
        self._chunks: list[Chunk] = []  # of the epoch: what torch's loader hands to the workers
        self._loader: Any = None

    def __iter__(self) -> Iterator[list[Tensor]]:
        steps = list(self.pieces())
        self._chunks[:] = [chunk for pieces in steps for piece in pieces for chunk in self._cut(piece)]
        if self._loader is None:
            self._loader = DataLoader(
                self.reader,
                batch_size=None,
                sampler=self._chunks,  # type: ignore[arg-type]
                num_workers=self.num_workers,
                pin_memory=self.device.type == "cuda",
                persistent_workers=self.stays,
                generator=torch.Generator(),  # the global one's draws are the network's
            )
        read = iter(self._loader)
        for step, pieces in enumerate(steps, start=1):
            batch: list[Tensor] = []
            for piece in pieces:
                chunks = [self._received(next(read)) for _ in self._starts(piece)]
                images = torch.cat(chunks) if len(chunks) > 1 else chunks[0]
                batch += [self._finished(images), self.targets[piece.indices].to(self.device, non_blocking=True)]
            if step == len(steps) and not self.stays:
                del read  # and with it its workers, while the last batch is looked at
            yield batch

    def close(self) -> None:
        """End the workers."""
        self._loader = None

    def _starts(self, piece: Piece) -> range:
        return range(0, max(len(piece.indices), 1), CHUNK)

    def _cut(self, piece: Piece) -> Iterator[Chunk]:
        by: Any = piece.sampler
        draws = None
        if self.trains:
            draws = {"seed": by.seed, "stage": by.stage, "epoch": by.epoch, "purpose": f"image of {by.purpose}"}
        for start in self._starts(piece):
            indices = piece.indices[start : start + CHUNK].tolist()
            yield Chunk(self.files[indices], draws, piece.first + start)

    def _received(self, images: Tensor | InputError) -> Tensor:
        if isinstance(images, InputError):
            raise images
        return images.to(self.device, non_blocking=True)

    def _finished(self, images: Tensor) -> Tensor:
        transform = self.reader.transform
        if not self.trains:
            return transform.evaluate(images)
        return normalize(images, transform.mean, transform.std) if images.dtype == torch.uint8 else images


def usual_workers() -> int:
    """Return the cores that this process may use, its share of them where several train together, 16 at most."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST, max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
