"""A pretrained network, frozen or not: images to features."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lt_calib.errors import InputError


@dataclass(frozen=True)
class Input:
    """What a pretrained network was trained to see.

    Attributes:
        size: Side in pixels.
        mean: Of each channel, on images scaled to [0, 1].
        std: Standard deviation, likewise.
        interpolation: ``"bilinear"`` or ``"bicubic"``.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"


class Pretrained(nn.Module):
    """A network, with the size and the normalization that belong to its weights in front of it.

    Args:
        network: (B, 3, S, S) normalized -> (B, D), with ``num_features`` and ``input``, an :class:`Input`.
        size: Side S in pixels >= 1 to which images are brought; None takes the network's own.

    Attributes:
        num_features: D.
        input: Of the network, with S.

    Shape:
        (B, 3, H, W) float in [0, 1] -> (B, D) float.

    Raises:
        InputError: the network does not say how its images are normalized, or the size is below 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, size: int | None = None) -> None:
        super().__init__()
        own = getattr(network, "input", None)
        if not isinstance(own, Input):
            raise InputError(
                f"model.backbone {type(network).__name__} does not say what its weights were trained to see: give the "
                "class an attribute input, lt_calib.model.frozen.Input(size, mean, std), or choose pretrained weights "
                "(model=efficientnet_lite0; model=torchvision model.weights=DEFAULT; model=timm)"
            )
        if size is not None and size < 1:
            raise InputError(f"features.size={size} must be >= 1 pixels, or null for the network's own, {own.size}")
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.num_features = int(network.num_features)  # type: ignore[arg-type]
        self.input = Input(size or own.size, own.mean, own.std, own.interpolation)
        self.register_buffer("mean", torch.tensor(own.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(own.std)[:, None, None], persistent=False)
        try:
            with torch.inference_mode():
                shape = tuple(self.eval()(torch.zeros(1, 3, self.input.size, self.input.size)).shape)
        except (RuntimeError, AssertionError, ValueError) as error:
            raise InputError(
                f"{type(network).__name__} takes no images of {self.input.size} pixels ({error}): set features.size, "
                "or build the network for that size (model=timm model.size=224)"
            ) from error
        if shape != (1, self.num_features):
            raise InputError(
                f"{type(network).__name__} makes {shape} of an image, and its num_features is {self.num_features}"
            )

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features."""
        side = (self.input.size, self.input.size)
        if images.shape[2:] != side:
            images = F.interpolate(images, side, mode=self.input.interpolation, align_corners=False, antialias=True)
        normalized = (images.clamp(0, 1) - self.mean) / self.std
        return self.network(normalized.to(memory_format=torch.channels_last))

    @property
    def seen(self) -> dict[str, Any]:
        """What the network sees of an image, as plain values."""
        seen = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self.input).items()}
        return {"network": type(self.network).__name__, **seen}


class Frozen(Pretrained):
    """One that is not trained, and in evaluation mode.

    Its weights are no part of a run's checkpoint: the run names the network, and keeps :attr:`sha256`.
    """

    def __init__(self, network: nn.Module, size: int | None = None) -> None:
        super().__init__(network, size)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "Frozen":
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features, in float32."""
        return super().forward(images).float()

    @property
    def facts(self) -> dict[str, Any]:
        """What decides the features of an image, as plain values."""
        return {**self.seen, "sha256": self.sha256}

    @property
    def sha256(self) -> str:
        """Of the network's weights and what it is made of."""
        total = hashlib.sha256(str(self.network).encode())
        for name, value in self.network.state_dict().items():
            total.update(
                name.encode() + value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            )
        return total.hexdigest()
