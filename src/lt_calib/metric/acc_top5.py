"""Top-5 accuracy."""

import torch
from torch import Tensor

from lt_calib.measure.check import check_probs
from lt_calib.measure.direction import better
from lt_calib.measure.pieces import by_rows


@better("higher")
def top5_accuracy(probs: Tensor, targets: Tensor) -> Tensor:
    """Compute the fraction of pictures whose label is among the five most probable classes; 1 where K <= 5.

    Of classes that are equally probable those come first that stand first.

    Args:
        probs: (N, K) float, rows sum to 1.
        targets: (N,) int64.

    Shape:
        Returns () float32, a fraction.
    """
    return (by_rows(_before, check_probs(probs, targets), targets) < 5).float().mean()


def _before(probs: Tensor, targets: Tensor) -> Tensor:
    own = probs.gather(1, targets[:, None])
    earlier = torch.arange(probs.shape[1], device=probs.device) < targets[:, None]
    return ((probs > own) | ((probs == own) & earlier)).sum(dim=1)
