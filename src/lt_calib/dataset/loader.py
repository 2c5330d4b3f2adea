"""What every loader has: an epoch's batches, and each process's piece of them."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Sampler

from lt_calib.sampler.base import EpochSampler


class Piece(NamedTuple):
    """What one process has of one sampler's batch: consecutive places of the epoch, and the indices drawn for them."""

    sampler: Sampler[int]
    first: int
    indices: Tensor


class EpochLoader:
    """The batches of one epoch after another.

    Each global batch of ``batch_size`` indices is cut into near-equal pieces, one a rank, so that all ranks take the
    same steps and no image is drawn twice.

    Args:
        sampler: Yields global indices, the same on every rank.
        batch_size: Of the global batch, >= 1.
        partner: A second sampler, of as many indices.
        rank: This process, 0 .. world_size - 1.
        world_size: Processes.

    Raises:
        ValueError: batch_size is below 1.
    """

    batch_sampler = None  # Lightning asks every loader that has a sampler for it

    def __init__(
        self,
        sampler: Sampler[int],
        batch_size: int,
        partner: Sampler[int] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size {batch_size} must be >= 1")
        self.sampler = sampler
        self.batch_size = batch_size
        self.partner = partner
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.batch_size)  # type: ignore[arg-type]

    def order(self) -> Tensor:
        """Return this epoch's indices process after process: the order in which their batches are gathered."""
        batches = torch.tensor(list(self.sampler)).split(self.batch_size)
        pieces = [batch.tensor_split(self.world_size) for batch in batches]
        return torch.cat([piece[rank] for rank in range(self.world_size) for piece in pieces])

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the samplers, 0-based."""
        for sampler in (self.sampler, self.partner):
            if isinstance(sampler, EpochSampler):
                sampler.set_epoch(epoch)

    def pieces(self, device: torch.device | str = "cpu") -> Iterator[list[Piece]]:
        """Yield what this process has of each batch of the epoch: one piece of the sampler's, one of the partner's.

        Args:
            device: Of the indices, which are copied there once an epoch.
        """
        samplers = [self.sampler] if self.partner is None else [self.sampler, self.partner]
        drawn = [torch.tensor(list(sampler), device=device).split(self.batch_size) for sampler in samplers]
        places = torch.arange(len(self.sampler)).split(self.batch_size)  # type: ignore[arg-type]
        for step, place in enumerate(places):
            mine = place.tensor_split(self.world_size)[self.rank]
            first = int(mine[0]) if len(mine) else 0
            indices = [batches[step].tensor_split(self.world_size)[self.rank] for batches in drawn]
            yield [Piece(sampler, first, of) for sampler, of in zip(samplers, indices, strict=True)]

    def close(self) -> None:
        """End the processes that it has started, where it has."""
