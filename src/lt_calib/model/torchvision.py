"""A network of torchvision's, without its own classifier, as a backbone."""

import logging
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from lt_calib.errors import InputError
from lt_calib.model.frozen import Input
from lt_calib.model.weights import load_weights

log = logging.getLogger(__name__)

DOWNLOAD_TIMEOUT = 20.0  # seconds without a byte


class Torchvision(nn.Module):
    """A network of torchvision's by its name, up to the features that its last linear layer takes.

    Args:
        network: Such as ``"resnet18"``, see ``torchvision.models.list_models()``.
        weights: Such as ``"DEFAULT"`` or ``"IMAGENET1K_V1"``: pretrained, from torch's cache or the network; None
            starts from random ones.
        checkpoint: A file of these weights in their place; without ``weights`` it is taken for one of ``"DEFAULT"``.
        fresh: Names of modules that begin anew all the same, ``["network.layer4.2"]``, as torch draws them.

    Attributes:
        num_features: D.
        input: What pretrained weights were trained to see; not there of random ones.

    Shape:
        (B, 3, H, W) float -> (B, D) float.

    Raises:
        InputError: there is no such network, module or weights, it does not end with a linear layer, or its weights
            cannot be had.
    """

    def __init__(
        self,
        network: str = "resnet18",
        weights: str | None = None,
        checkpoint: str | None = None,
        fresh: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.network = _pretrained(network, weights) if weights and not checkpoint else _network(network)
        if checkpoint:
            load_weights(self.network, checkpoint)
        if weights or checkpoint:
            seen: Any = _known(network)[weights or "DEFAULT"].transforms()
            how = "bicubic" if seen.interpolation.value == "bicubic" else "bilinear"
            self.input = Input(seen.crop_size[0], tuple(seen.mean), tuple(seen.std), how)
        self.num_features = without_classifier(self.network, network)
        modules = dict(self.named_modules())
        for path in fresh:
            if not path or path not in modules:
                there = ", ".join(f"network.{child}" for child, _ in self.network.named_children())
                raise InputError(
                    f"model.backbone.fresh: {network} has no module {path!r}; it has {there}, and those inside"
                )
            for module in modules[path].modules():
                reset: Any = getattr(module, "reset_parameters", None)
                if reset:
                    reset()

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features."""
        return torch.flatten(self.network(images), 1)


def without_classifier(network: nn.Module, name: str) -> int:
    """Take a network's last linear layer away, and return how many features it took.

    Raises:
        InputError: it has none.
    """
    linear = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InputError(f"model.name={name} has no linear layer at its end: write a backbone")
    parent, _, child = linear[-1].rpartition(".")
    last = network.get_submodule(linear[-1])
    assert isinstance(last, nn.Linear)
    setattr(network.get_submodule(parent), child, nn.Identity())
    return last.in_features


def _network(name: str, **settings: Any) -> nn.Module:
    try:
        return torchvision.models.get_model(name, **settings)
    except ValueError as error:
        raise InputError(f"model.name={name}: {error}") from error


def _known(name: str) -> Any:
    try:
        return torchvision.models.get_model_weights(name)
    except ValueError as error:
        raise InputError(f"model.name={name}: {error}") from error


def _pretrained(name: str, weights: str) -> nn.Module:
    """Build a network with weights from torch's cache, or the network.

    Raises:
        InputError: there are no such weights, or they cannot be had; it names the file.
    """
    known = _known(name)
    if weights not in known.__members__:
        raise InputError(
            f"model.weights={weights}: {name} has {', '.join(known.__members__)}; null starts from random ones"
        )
    url = known[weights].url
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    there = file.exists()
    if not there:
        log.info("The weights %s of %s are fetched from %s to %s.", weights, name, url, file)
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)  # torch sets none: without a network it could hang
    try:
        return torchvision.models.get_model(name, weights=known[weights])
    except Exception as error:  # of a damaged file, torch raises whatever it stumbles over
        state = "cannot be read" if there else f"is not there, and cannot be fetched from {url}"
        raise InputError(
            f"model.weights={weights} of {name}: {file} {state} ({str(error).splitlines()[0]}). Put that file "
            "there, from a machine with a network, name it, model.checkpoint=FILE, or start from random weights: "
            "model.weights=null"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)
