"""The loader of data that fit in memory: batches by indexing one tensor."""

from collections.abc import Callable, Iterator

from torch import Tensor
from torch.utils.data import Sampler

from lt_calib.dataset.loader import EpochLoader


class ResidentLoader(EpochLoader):
    """Yields lists ``[images, targets]`` from tensors that stay on one device.

    With a partner sampler, ``[images, targets, partner_images, partner_targets]``.

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
        super().__init__(sampler, batch_size, partner, rank, world_size)
        self.images = images
        self.targets = targets
        self.transform = transform

    def __iter__(self) -> Iterator[list[Tensor]]:
        for step, pieces in enumerate(self.pieces(self.images.device)):
            drawn: list[Tensor] = []
            for sampler, _, indices in pieces:
                images = self.images[indices]
                if self.transform is not None:
                    epoch, purpose = getattr(sampler, "epoch", 0), getattr(sampler, "purpose", "sampler")
                    images = self.transform(images, purpose, epoch, step)
                drawn += [images, self.targets[indices]]
            yield drawn
