"""Draws from a local generator that torch offers from the global one only."""

import torch
from torch import Tensor

from lt_calib.device import widest


def beta(alpha: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw from Beta(alpha, alpha); 1 where alpha is 0.

    Args:
        alpha: >= 0.
        shape: Of the result.
        generator: Also says on which device.

    Shape:
        Returns ``shape`` float32 in [0, 1].
    """
    device = generator.device
    if alpha == 0:
        return torch.ones(shape, device=device)
    if alpha == 1:
        return torch.rand(shape, device=device, generator=generator)
    shapes = torch.full((2, *shape), alpha, dtype=widest(device), device=device)
    a, b = torch._standard_gamma(shapes, generator=generator)
    return (a / (a + b)).float()


def partner_of(
    images: Tensor, targets: Tensor, generator: torch.Generator, partner: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Return the partner batch, or a permutation of the batch itself where there is none."""
    if partner is not None:
        return partner
    order = torch.randperm(len(images), device=images.device, generator=generator)
    return images[order], targets[order]


def spread(lam: Tensor, images: Tensor) -> Tensor:
    """Give lam (D,) the dimensions of images (B, C, H, W) or features (B, D)."""
    return lam.view(-1, *[1] * (images.ndim - 1))


def cut_box(h: int, w: int, lam: Tensor, generator: torch.Generator) -> Tensor:
    """Draw CutMix's boxes: sides sqrt(1 - lam) of the picture's, centre uniform, clipped at the border.

    Shape:
        lam (D,) float; returns (D, H, W) bool, on the generator's device.
    """
    device = generator.device
    half_h, half_w = ((side * torch.sqrt(1 - lam) / 2).floor().long()[:, None] for side in (h, w))
    y, x = (torch.randint(side, (len(lam), 1), device=device, generator=generator) for side in (h, w))
    rows, columns = torch.arange(h, device=device), torch.arange(w, device=device)
    in_rows = (rows >= y - half_h) & (rows < y + half_h)  # (D, H)
    in_columns = (columns >= x - half_w) & (columns < x + half_w)
    return in_rows[:, :, None] & in_columns[:, None, :]


def number_of_draws(per: str, batch_size: int) -> int:
    """Return how many draws a batch takes: one with ``per="batch"``, one a picture with ``per="picture"``."""
    return batch_size if per == "picture" else 1


def check_per(per: str) -> str:
    """Refuse another ``per`` than ``"batch"`` and ``"picture"``."""
    if per not in ("batch", "picture"):
        raise ValueError(f"per {per!r} must be 'batch' (one draw a batch, as the authors do) or 'picture'")
    return per


def check_size(size: int | float) -> int | float:
    """Refuse what is neither pixels nor a fraction of the side."""
    if isinstance(size, bool) or not (0 < size < 1 or (1 <= size < float("inf") and int(size) == size)):
        raise ValueError(f"size {size} must be a whole number of pixels >= 1, or a fraction of the side in (0, 1)")
    return size


def pixels(size: int | float, images: Tensor) -> int:
    """Return a size in pixels, of images (B, C, H, W): a fraction is that of the shorter side."""
    side = min(images.shape[-2:])
    return int(size) if size >= 1 else min(max(1, round(size * side)), side - 1)
