import copy
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from lt_calib.job.build import build, settle
from lt_calib.job.parts import Job
from lt_calib.settings.schema import conf_dir, register

CONF = conf_dir()
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
TINY_FULL = [  # with the experiment's own backbone
    "dataset=digits_lt",
    "stage1.max_epochs=1",
    "stage1.lr=0.01",
    "trainer.precision=32-true",
    "trainer.accelerator=cpu",
    "figures=false",
    "cache=off",
]
SMALL = ["model.backbone._target_=lt_calib.model.resnet_cifar.ResNetCIFAR", "+model.backbone.blocks=1"]  # ResNet-8
TINY = [*TINY_FULL, *SMALL]


def data_of(experiment: str) -> str:
    """The embedded data that an experiment is of: images, or features."""
    frozen = "- /frozen\n" in (CONF / "experiment" / f"{experiment}.yaml").read_text()
    return "dataset=digits_features_lt" if frozen else "dataset=digits_lt"


@pytest.fixture(autouse=True, scope="session")
def one_thread(tmp_path_factory) -> None:
    torch.set_num_threads(1)  # the tests run side by side
    os.environ["LT_CALIB_CACHE"] = str(tmp_path_factory.mktemp("cache"))  # nobody's own is read or filled


@cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))


def compose_config(*overrides: str) -> DictConfig:
    """What Hydra composes from the overrides, each composition done once: it takes a good part of a second."""
    return copy.deepcopy(_composed(overrides))


def built(*overrides: str, folder: Path = Path("unused")) -> Job:
    """The job of a command line; nothing is written."""
    return build(settle(compose_config(*overrides), folder), folder)


@pytest.fixture
def composed() -> Callable[..., DictConfig]:
    return compose_config


@pytest.fixture
def groups() -> dict[str, list[int]]:
    return {"head": [0, 1], "medium": [2], "tail": [3, 4]}


def plugins(group: str) -> list[str]:
    return sorted(p.stem for p in (CONF / group).glob("*.yaml") if "_target_: lt_calib" in Path(p).read_text())


def in_hydra(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let a job find what Hydra would tell it: its folder, and that it is one of its own."""
    told = SimpleNamespace(runtime=SimpleNamespace(output_dir=str(folder)), mode=None, sweeper={})
    monkeypatch.setattr("lt_calib.run.HydraConfig.get", lambda: told)
