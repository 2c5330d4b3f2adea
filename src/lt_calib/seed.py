"""Every random draw's generator, from what the draw is for and never from the order of draws."""

from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

import numpy as np
import torch


def generator(
    seed: int,
    purpose: str,
    *,
    stage: int = 0,
    epoch: int = 0,
    step: int = 0,
    rank: int = 0,
    device: torch.device | str = "cpu",
) -> torch.Generator:
    """Build the generator of one draw: ``SeedSequence([seed, stage, epoch, step, rank, crc32(purpose)])``.

    A draw then depends on nothing that was drawn before, so that a resumed run draws what an undisturbed one does.

    Args:
        seed: The job's seed, an integer >= 0.
        purpose: What is drawn (``"crop_flip"``, ``"augment"``, ...); draws for other purposes are independent.
        stage: 1 or 2; 0 for what belongs to no stage.
        epoch: 0-based.
        step: The batch within the epoch, 0-based.
        rank: The process, where each draws for its own piece of the batch.
        device: Where the generator draws.
    """
    return torch.Generator(device).manual_seed(_state(seed, stage, epoch, step, rank, purpose))


def global_seed(seed: int, purpose: str, stage: int = 0, epoch: int = 0, rank: int = 0) -> int:
    """Return what the global generators are seeded with, for draws that take no generator: a layer's, a network's."""
    return _state(seed, stage, epoch, 0, rank, purpose)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Have what is built inside draw its weights from a seed, and leave the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _state(seed: int, stage: int, epoch: int, step: int, rank: int, purpose: str) -> int:
    sequence = np.random.SeedSequence([seed, stage, epoch, step, rank, crc32(purpose.encode())])
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))  # manual_seed takes a signed 64-bit number
