"""The image tower of a CLIP model, as a backbone."""

from importlib import import_module
from typing import Any

from torch import Tensor, nn

from lt_calib.errors import InputError
from lt_calib.model.frozen import Input


class OpenClip(nn.Module):
    """The image tower of a model of open_clip's, up to its embedding (needs the extra ``open_clip``).

    Args:
        network: Such as ``"ViT-B-16"``, see ``open_clip.list_models()``.
        pretrained: Whose weights, ``"openai"`` say, or a file of them; None starts from random ones.

    Attributes:
        num_features: D, of the embedding.
        input: What the weights were trained to see.

    Shape:
        (B, 3, H, W) float, normalized -> (B, D) float.

    Raises:
        InputError: open_clip is not installed, has no such model, or the weights cannot be had.
    """

    def __init__(self, network: str = "ViT-B-16", pretrained: str | None = "openai") -> None:
        super().__init__()
        try:
            open_clip: Any = import_module("open_clip")
        except ImportError as error:
            raise InputError("model=open_clip needs its package: pip install 'lt_calib[open_clip]'") from error
        try:
            model: Any = open_clip.create_model(network, pretrained=pretrained)
        except Exception as error:  # of a hub that cannot be reached there are many
            said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise InputError(
                f"model.name={network}, model.pretrained={pretrained}: {said}. Without a network name the file of its "
                "weights, model.pretrained=FILE; open_clip.list_models() has the names"
            ) from error
        self.network = model.visual
        seen = open_clip.get_model_preprocess_cfg(model)
        size = seen["size"]
        self.num_features = int(self.network.output_dim)
        self.input = Input(
            size if isinstance(size, int) else size[-1], tuple(seen["mean"]), tuple(seen["std"]), seen["interpolation"]
        )

    def forward(self, images: Tensor) -> Tensor:
        """Compute the embedding."""
        return self.network(images)
