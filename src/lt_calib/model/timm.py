"""A network of timm's, without its own classifier, as a backbone."""

from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from lt_calib.errors import InputError
from lt_calib.model.frozen import Input


class Timm(nn.Module):
    """A network of timm's by its name, up to the features that its classifier takes (needs the extra ``timm``).

    Args:
        network: Such as ``"vit_base_patch14_dinov2.lvd142m"``, see ``timm.list_models()``.
        pretrained: Whether its weights are taken from timm's cache, or fetched.
        checkpoint: A file of weights in their place, ``.safetensors`` or ``.pth``.
        size: Side in pixels that it is built for, where that is part of the network; None takes its own.

    Attributes:
        num_features: D.
        input: Size, normalization and interpolation of its weights' data configuration.

    Shape:
        (B, 3, H, W) float, normalized -> (B, D) float.

    Raises:
        InputError: timm is not installed, has no such network, or the weights cannot be had.
    """

    def __init__(
        self, network: str, pretrained: bool = True, checkpoint: str | None = None, size: int | None = None
    ) -> None:
        super().__init__()
        try:
            timm: Any = import_module("timm")
        except ImportError as error:
            raise InputError("model=timm needs its package: pip install 'lt_calib[timm]'") from error
        overlay = {"file": checkpoint} if checkpoint else None
        sized = {"img_size": size} if size else {}
        try:
            self.network = timm.create_model(
                network,
                pretrained=pretrained or checkpoint is not None,
                pretrained_cfg_overlay=overlay,
                num_classes=0,
                **sized,
            )
        except Exception as error:  # of a hub that cannot be reached there are many
            said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise InputError(
                f"model.name={network}: {said}. Without a network name the file of its weights, model.checkpoint=FILE "
                "(.safetensors or .pth); timm.list_models() has the names"
            ) from error
        seen: Any = timm.data.resolve_model_data_config(self.network)
        features = getattr(self.network, "head_hidden_size", None) or self.network.num_features
        self.num_features = int(features)
        self.input = Input(
            size or seen["input_size"][-1], tuple(seen["mean"]), tuple(seen["std"]),
            "bicubic" if seen["interpolation"] == "bicubic" else "bilinear",
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features."""
        return torch.flatten(self.network(images), 1)
