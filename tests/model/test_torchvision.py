from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from lt_calib.errors import InputError
from lt_calib.model.torchvision import Torchvision
from tests.conftest import compose_config

FILE = "mobilenet_v3_small-047dcff4.pth"


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    """Torch's cache with one network's weights, of which the first layer's are all 1; nothing is downloaded."""

    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    net = torchvision.models.mobilenet_v3_small()
    for parameter in net.parameters():
        torch.nn.init.ones_(parameter)
    torch.save(net.state_dict(), tmp_path / "checkpoints" / FILE)
    return tmp_path / "checkpoints"


@pytest.mark.usefixtures("cache")
def test_what_is_fresh_begins_anew_in_a_pretrained_network():
    torch.manual_seed(0)
    net = Torchvision("mobilenet_v3_small", "IMAGENET1K_V1", fresh=["network.features.11"])
    drawn = {name for name, p in net.named_parameters() if not bool((p == 1).all())}
    assert "network.features.11.block.0.0.weight" in drawn
    assert {name.rsplit(".", 4)[0] for name in drawn} <= {"network.features.11", "network.features.11.block"}
    again = Torchvision("mobilenet_v3_small", "IMAGENET1K_V1", fresh=["network.features.11"])
    assert not torch.equal(dict(again.named_parameters())["network.features.11.block.0.0.weight"],
                           dict(net.named_parameters())["network.features.11.block.0.0.weight"])  # fmt: skip


def test_weights_that_are_neither_on_disk_nor_to_be_had_name_the_file(cache):
    (cache / FILE).unlink()
    with pytest.raises(InputError, match=rf"{cache / FILE} is not there, and cannot be fetched.*model\.weights=null"):
        Torchvision("mobilenet_v3_small", "DEFAULT")
    (cache / FILE).write_bytes(b"damaged")
    with pytest.raises(InputError, match=rf"{cache / FILE} cannot be read"):
        Torchvision("mobilenet_v3_small", "DEFAULT")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"network": "resnet19"}, "model.name=resnet19"),
        ({"network": "resnet19", "weights": "DEFAULT"}, "model.name=resnet19"),
        ({"weights": "IMAGENET"}, "resnet18 has IMAGENET1K_V1, DEFAULT"),
        ({"fresh": ["layer4"]}, "no module 'layer4'; it has network.conv1"),
        ({"fresh": [""]}, "no module ''"),
    ],
)
def test_names_that_are_not_there(settings, said):
    with pytest.raises(InputError, match=said):
        Torchvision(**settings)


@pytest.mark.parametrize(
    ("name", "parameters"),  # of torchvision's documentation, less the 2048 x 1000 + 1000 of the classifier
    [("resnet50", 25_557_032), ("resnext50", 25_028_904), ("resnet152", 60_192_808)],
)
def test_networks_of_conf(name, parameters):
    backbone = compose_config(f"model={name}").model.backbone
    with torch.device("meta"):
        net: Any = Torchvision(backbone.network, backbone.weights)
        assert net(torch.rand(2, 3, 64, 64)).shape == (2, 2048)
    assert sum(p.numel() for p in net.parameters()) == parameters - 2_049_000
