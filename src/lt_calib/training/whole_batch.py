"""The whole batch of all processes, so that no loss need know that there are several."""

import torch
import torch.distributed as dist
from torch import Tensor


def whole_batch(values: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Gather logits or features and targets of the global batch, in the order of one process's batch.

    The loss of the result is the global batch's, on every process, whatever it does with its batch (weighted means,
    LADE's class means, an estimate of the labels' frequencies). Its gradient reaches this process's own ``values``
    alone, times the number of processes, since DDP then takes the mean over them.

    Args:
        values: This process's piece; pieces differ by one picture at most.
        targets: Likewise.

    Shape:
        values: (b, D) float32; targets: (b,) int64, (b, K) or (b, P, K) float; both come back as (B, ...), with B the
        sum of b.
    """
    world_size, rank = dist.get_world_size(), dist.get_rank()
    sizes = torch.zeros(world_size, dtype=torch.int64, device=values.device)
    sizes[rank] = len(values)
    dist.all_reduce(sizes)
    counts = sizes.tolist()
    pieces = _gather(values.detach(), counts)
    if values.requires_grad:
        own = values.clone()
        own.register_hook(lambda gradient: gradient * world_size)
        pieces[rank] = own
    return torch.cat(pieces), torch.cat(_gather(targets, counts))


def _gather(piece: Tensor, counts: list[int]) -> list[Tensor]:
    longest = max(counts)  # what is gathered must be of one size
    padded = torch.cat([piece, piece.new_zeros(longest - len(piece), *piece.shape[1:])]).contiguous()
    gathered = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(gathered, padded)
    return [whole[:count] for whole, count in zip(gathered, counts, strict=True)]
