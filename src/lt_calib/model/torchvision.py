"""A network of torchvision's, without its own classifier, as a backbone."""

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import get_model_weights

from lt_calib.errors import InputError
from lt_calib.model.frozen import Input
from lt_calib.model.weights import load_weights


class Torchvision(nn.Module):
    """A network of torchvision's by its name, up to the features that its last linear layer takes.

    Args:
        name: Such as ``"resnet18"``, see ``torchvision.models.list_models()``.
        weights: Such as ``"DEFAULT"``: pretrained; None starts from random ones.
        checkpoint: A file of these weights, where they are on disk; without ``weights`` it is taken for one of
            ``"DEFAULT"``'s kind.

    Attributes:
        num_features: D.
        input: What the pretrained weights were trained to see.

    Shape:
        (B, 3, H, W) float -> (B, D) float.

    Raises:
        InputError: there is no such network, it does not end with a linear layer, or its weights cannot be had.
    """

    def __init__(self, name: str = "resnet18", weights: str | None = None, checkpoint: str | None = None) -> None:
        super().__init__()
        try:
            self.network = torchvision.models.get_model(name, weights=None if checkpoint else weights)
            seen = get_model_weights(name)[weights or "DEFAULT"].transforms()
        except (ValueError, KeyError) as error:
            raise InputError(f"model.name={name}, model.weights={weights}: {error}") from error
        except OSError as error:
            raise InputError(
                f"model.weights={weights} of {name} could not be fetched ({error}): name the file, "
                "model.checkpoint=FILE"
            ) from error
        if checkpoint:
            load_weights(self.network, checkpoint)
        if weights or checkpoint:
            how = "bicubic" if seen.interpolation.value == "bicubic" else "bilinear"
            self.input = Input(seen.crop_size[0], tuple(seen.mean), tuple(seen.std), how)
        linear = [path for path, module in self.network.named_modules() if isinstance(module, nn.Linear)]
        if not linear:
            raise InputError(f"model.name={name} has no linear layer at its end: write a backbone")
        parent, _, child = linear[-1].rpartition(".")
        last = self.network.get_submodule(linear[-1])
        assert isinstance(last, nn.Linear)
        self.num_features = last.in_features
        setattr(self.network.get_submodule(parent), child, nn.Identity())

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features."""
        return torch.flatten(self.network(images), 1)
