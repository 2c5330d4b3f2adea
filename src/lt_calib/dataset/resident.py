"""The loader of data that fit in memory: batches by indexing one tensor."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler

from lt_calib.sampler.base import EpochSampler


class ResidentLoader:
    """Yields lists ``[images, targets]`` from tensors that stay on one device.

    With a partner sampler, ``[images, targets, partner_images, partner_targets]``.

    Each global batch of ``batch_size`` indices is cut into near-equal pieces, one a rank, so that all ranks take the
    same steps and no picture is drawn twice.

    Args:
        images: (N, H, W, 3) uint8.
        targets: (N,) int64, on the same device.
        sampler: Yields global indices, the same on every rank.
        batch_size: Of the global batch, >= 1.
        transform: ``(images, purpose, epoch, step) -> images`` on each piece; the purpose is the sampler's.
        partner: A second sampler, of as many indices.
        rank: This process, 0 .. world_size - 1.
        world_size: Processes.

    Raises:
        ValueError: batch_size is below 1.
    """

    batch_sampler = None  # Lightning asks every loader that has a sampler for it

    def __init__(
        self,
        images: Tensor,
        targets: Tensor,
        sampler: Sampler[int],
        batch_size: int,
        transform: Callable[[Tensor, str, int, int], Tensor] | None = None,
        partner: Sampler[int] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size {batch_size} must be >= 1")
        self.images = images
        self.targets = targets
        self.sampler = sampler
        self.batch_size = batch_size
        self.transform = transform
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

    def __iter__(self) -> Iterator[list[Tensor]]:
        samplers = [self.sampler] if self.partner is None else [self.sampler, self.partner]
        batches = [torch.tensor(list(s), device=self.images.device).split(self.batch_size) for s in samplers]
        for step in range(len(self)):
            drawn: list[Tensor] = []
            for sampler, indices in zip(samplers, batches, strict=True):
                piece = indices[step].tensor_split(self.world_size)[self.rank]
                images = self.images[piece]
                if self.transform is not None:
                    epoch, purpose = getattr(sampler, "epoch", 0), getattr(sampler, "purpose", "sampler")
                    images = self.transform(images, purpose, epoch, step)
                drawn += [images, self.targets[piece]]
            yield drawn
