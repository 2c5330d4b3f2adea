"""Random changes of color, on a whole batch."""

from collections.abc import Sequence

import torch
import torchvision.transforms.v2.functional as tv
from torch import Tensor

HUE = 3  # its place; brightness, contrast and saturation are before it


def color_jitter(images: Tensor, strengths: Sequence[float], generator: torch.Generator) -> Tensor:
    """Change each image's brightness, contrast, saturation and hue by factors of its own.

    As torchvision's ColorJitter: with a strength s a factor is uniform in [max(0, 1 - s), 1 + s], the hue's shift in
    [-s, s] of a turn, and the four follow in random order, which here is one for the batch.

    Args:
        images: Of 0 to 255, of three channels.
        strengths: Of brightness, contrast and saturation >= 0, of hue in [0, 0.5].
        generator: Local generator on the images' device.

    Shape:
        (B, H, W, 3) uint8 or float -> the same.

    Raises:
        ValueError: the images have no three channels.
    """
    if images.shape[-1] != 3:
        raise ValueError(f"transform.color_jitter is for images of three channels, and these have {images.shape[-1]}")
    draws = torch.rand(4, len(images), generator=generator, device=images.device)
    order = torch.randperm(4, generator=generator, device=images.device).tolist()
    low = [max(0.0, 1 - s) for s in strengths[:HUE]] + [-strengths[HUE]]
    high = [1 + s for s in strengths[:HUE]] + [strengths[HUE]]
    amounts = torch.stack([a + (b - a) * of for a, b, of in zip(low, high, draws, strict=True)])
    return changed(images, amounts, [k for k in order if strengths[k] > 0])


def changed(images: Tensor, amounts: Tensor, order: Sequence[int]) -> Tensor:
    """Apply the changes 0 to 3 in their order, each image (B, H, W, 3) by its amounts (4, B)."""
    colors = images.movedim(-1, 1).float() / 255
    for k in order:
        if k == HUE:
            colors = torch.stack([tv.adjust_hue(c, a) for c, a in zip(colors, amounts[k].tolist(), strict=True)])
            continue
        grey = tv.rgb_to_grayscale(colors)
        base = (torch.zeros_like(grey), grey.mean((1, 2, 3), keepdim=True), grey)[k]
        colors = torch.lerp(base, colors, amounts[k, :, None, None, None]).clamp(0, 1)
    scaled = colors.movedim(1, -1) * 255
    return scaled.round().to(torch.uint8) if images.dtype == torch.uint8 else scaled.to(images.dtype)


def check_strengths(strengths: Sequence[float]) -> tuple[float, ...]:
    """Refuse what is no four strengths.

    Raises:
        ValueError: another number of them, or one out of its range.
    """
    given = tuple(float(s) for s in strengths)
    if len(given) != 4 or min(given) < 0 or given[HUE] > 0.5:
        raise ValueError(
            f"transform.color_jitter {list(strengths)} must be four numbers >= 0, of brightness, contrast, saturation "
            "and hue, the last one at most 0.5: [0.4, 0.4, 0.4, 0]"
        )
    return given
