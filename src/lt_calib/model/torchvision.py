"""A network of torchvision's, without its own classifier, as a backbone."""

import torch
import torchvision
from torch import Tensor, nn

from lt_calib.errors import InputError


class Torchvision(nn.Module):
    """A network of torchvision's by its name, up to the features that its last linear layer takes.

    Args:
        network: Such as ``"resnet18"``, see ``torchvision.models.list_models()``.
        weights: Such as ``"DEFAULT"``: pretrained; None starts from random ones.

    Attributes:
        num_features: D.

    Shape:
        (B, 3, H, W) float -> (B, D) float.

    Raises:
        InputError: there is no such network, it does not end with a linear layer, or its weights cannot be had.
    """

    def __init__(self, network: str = "resnet18", weights: str | None = None) -> None:
        super().__init__()
        try:
            self.network = torchvision.models.get_model(network, weights=weights)
        except (ValueError, KeyError) as error:
            raise InputError(f"model.backbone.network={network}, weights={weights}: {error}") from error
        except OSError as error:
            raise InputError(f"model.backbone.weights={weights} of {network} could not be fetched: {error}") from error
        linear = [path for path, module in self.network.named_modules() if isinstance(module, nn.Linear)]
        if not linear:
            raise InputError(f"model.backbone.network={network} has no linear layer at its end: write a backbone")
        parent, _, child = linear[-1].rpartition(".")
        last = self.network.get_submodule(linear[-1])
        assert isinstance(last, nn.Linear)
        self.num_features = last.in_features
        setattr(self.network.get_submodule(parent), child, nn.Identity())

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features."""
        return torch.flatten(self.network(images), 1)
