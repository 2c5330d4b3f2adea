"""Parts of one's own, outside the package: trained, resumed, cached, calibrated, predicted with, exported, reported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lt_calib.calibrate import calibrate_folder
from lt_calib.errors import InputError
from lt_calib.export import export
from lt_calib.predictor import load_run
from lt_calib.report.read import read_runs
from lt_calib.report.rows import summarise
from lt_calib.run import run
from lt_calib.settings.nearest import nearest_names
from tests.conftest import TINY, compose_config

PARTS = """
import torch
from torch import nn

from lt_calib.loss import CrossEntropy
from lt_calib.measure.direction import better
from lt_calib.posthoc import Temperature
from lt_calib.sampler import InstanceBalanced
from lt_calib.transform import CropFlip


class Poly1(CrossEntropy):
    def __init__(self, class_counts, *, epsilon=1.0, prior=None):
        super().__init__(class_counts, prior=prior)
        self.epsilon = epsilon

    def losses(self, logits):
        return super().losses(logits) + self.epsilon * (1 - torch.softmax(logits, dim=1))


def brighten(images, targets, generator, strength=0.1):
    return images + strength * torch.rand((), generator=generator, device=images.device), targets


@better("higher")
def median_confidence(probs, targets):
    return float(probs.max(dim=1).values.median())


class Net(nn.Module):
    num_features = 8

    def __init__(self, in_channels=3):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 8, 3, stride=4)

    def forward(self, images):
        return self.conv(images).relu().mean(dim=(2, 3))


class Twice(InstanceBalanced):
    pass


class Strong(CropFlip):
    pass


class Hot(Temperature):
    pass
"""
CONF = {
    "loss/poly1.yaml": "_target_: mylab_parts.Poly1\n_partial_: true\nepsilon: 2.0\n",
    "augment/brighten.yaml": "_target_: mylab_parts.brighten\nstrength: 0.2\n",
    "metric/median.yaml": "median:\n  _target_: mylab_parts.median_confidence\n  _partial_: true\n",
    "model/net.yaml": (
        "backbone:\n  _target_: mylab_parts.Net\nclassifier:\n  _target_: lt_calib.model.classifier.Linear\n"
        "  _partial_: true\n"
    ),
    "sampler/twice.yaml": "_target_: mylab_parts.Twice\n_partial_: true\n",
    "transform/strong.yaml": (
        "_target_: mylab_parts.Strong\nmean: ${dataset.mean}\nstd: ${dataset.std}\npadding: 2\nflip: false\n"
    ),
    "posthoc/hot.yaml": "_target_: mylab_parts.Hot\n_partial_: true\n",
    "schedule/half.yaml": "_target_: mylab_parts.half\n_partial_: true\n",
    "optimizer/rmsprop.yaml": "_target_: torch.optim.RMSprop\n_partial_: true\nalpha: 0.9\n",
    "experiment/mine.yaml": (
        "# @package _global_\ndefaults:\n  - override /loss@stage1.loss: poly1\n  - override /augment: brighten\n"
        "  - override /model: net\n  - override /sampler@stage1.sampler: twice\n  - override /transform: strong\n"
        "  - override /optimizer@stage1.optimizer: rmsprop\n  - override /schedule@stage1.schedule: half\n"
        "  - override /posthoc: hot\n  - override /stage2: awabs\nexperiment: mine\n"
    ),
}
HALF = "\n\ndef half(epoch, max_epochs):\n    return 0.5\n"
COMMAND = [
    "hydra.searchpath=[file://conf]", "+experiment=mine", "metric=[acc,ece,nll,median]", "dataset=digits_lt",
    "dataset.val_per_class=10", "stage1.max_epochs=2", "stage2.max_epochs=1", "stage1.lr=0.001", "figures=false",
    "cache.root=cache", "trainer.precision=32-true", "trainer.accelerator=cpu",
]  # fmt: skip


def command(folder: Path, module: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", f"lt_calib.{module}", *words], cwd=folder, env=environment, capture_output=True,
        text=True, timeout=300, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    """A working directory with parts of every kind, a conf folder, and a run that uses all of them."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "mylab_parts.py").write_text(PARTS + HALF)
    for name, text in CONF.items():
        (folder / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "conf" / name).write_text(text)
    done = command(folder, "run", *COMMAND, "hydra.run.dir=run")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def at_lab(lab, monkeypatch) -> Path:
    monkeypatch.syspath_prepend(lab)
    monkeypatch.chdir(lab)
    return lab


@pytest.mark.command
def test_it_is_trained_and_recorded(lab):
    results = json.loads((lab / "run" / "results.json").read_text())
    assert results["network"]["backbone"] == {"name": "Net"}
    assert results["recipe"]["optimizer"] == {"name": "RMSprop", "alpha": 0.9}
    assert results["recipe"]["schedule"] == {"name": "half"}
    assert results["transform"]["name"] == "Strong"
    assert results["changed"] == {}  # all of it is the experiment's own
    assert results["calibrated"]["stage2"]["method"] == "Hot"
    assert 0 < results["stage2"]["test"]["median"] < 1


@pytest.mark.slow
@pytest.mark.command
def test_it_is_cached_by_its_files_content(lab):
    (entry,) = (lab / "cache").glob("*.json")
    kept = json.loads(entry.read_text())["settings"]
    assert {name for name in kept if name.startswith("mylab_parts.")} >= {"mylab_parts.Poly1", "mylab_parts.brighten"}
    again = command(lab, "run", *COMMAND, "hydra.run.dir=again", "stage2.lr=0.01")
    assert "it is taken from the cache" in again.stdout, again.stdout + again.stderr
    with (lab / "mylab_parts.py").open("a") as stream:
        stream.write("\n# edited\n")
    edited = command(lab, "run", *COMMAND, "hydra.run.dir=edited", "stage2.lr=0.01")
    assert edited.returncode == 0
    assert "it is taken from the cache" not in edited.stdout


@pytest.mark.slow
@pytest.mark.command
def test_it_is_predicted_with_if_it_is_trusted(lab, tmp_path):
    Image.fromarray(np.full((40, 50, 3), 90, dtype=np.uint8)).save(tmp_path / "a.png")
    words = ["run", str(tmp_path), "--out", str(tmp_path / "out.csv")]
    refused = command(lab, "predict", *words)
    assert refused.returncode == 1
    assert "names mylab_parts.Net, which is code outside lt_calib" in refused.stderr
    assert "--trust" in refused.stderr
    done = command(lab, "predict", *words, "--trust")
    assert done.returncode == 0, done.stderr
    assert "1 images, 0 files skipped; calibrated" in done.stdout


def test_it_is_loaded_exported_and_calibrated_if_it_is_trusted(at_lab, tmp_path):
    with pytest.raises(InputError, match=r"mylab_parts\.Net.*trust=True"):
        load_run("run")
    predictor = load_run("run", trust=True)
    assert type(predictor.calibrator).__name__ == "Hot"
    images = torch.rand(4, 3, 32, 32)
    export(predictor, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    torch.testing.assert_close(loaded(images), predictor.predict_proba(images), atol=1e-5, rtol=0)
    with pytest.raises(InputError, match=r"mylab_parts\.median_confidence.*--trust"):
        calibrate_folder(Path("run"), ["posthoc=temperature"])
    results = calibrate_folder(Path("run"), ["posthoc=temperature"], trust=True)
    assert results["calibrated"]["stage1"]["method"] == "temperature"
    assert load_run("run", trust=True).calibrator is not None


def test_it_is_reported(at_lab):
    rows = summarise(read_runs([at_lab / "run"]))
    assert {row.group.label for row in rows} == {"mine"}
    assert {row.group.backbone for row in rows} == {"Net"}


def test_names_of_a_conf_folder_of_ones_own_are_known(at_lab):
    search = "hydra.searchpath=[file://conf]"
    assert nearest_names([search, "+experiment=mine", "loss@stage1.loss=poly1", "stage1.loss.epsilon=1"]) == []
    (line,) = nearest_names([search, "+experiment=mein"])
    assert line.startswith("No experiment mein; the nearest: mine")


def test_with_a_loss_of_ones_own_alone_nothing_need_be_trusted(at_lab, tmp_path):
    words = [*TINY, "dataset.val_per_class=5", "loss@stage1.loss=cross_entropy"]
    run(compose_config(*words, "stage1.loss._target_=mylab_parts.Poly1"), tmp_path)
    assert load_run(tmp_path).predict_proba(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    calibrate_folder(tmp_path, ["posthoc=temperature"])


@pytest.mark.slow
def test_a_backbone_of_torchvisions_at_64_pixels(tmp_path):
    words = [w for w in TINY if "backbone" not in w]
    job = [*words, "model=torchvision", "dataset.size=64", "dataset.if=100", "dataset.batch_size=64", "stage2=awabs"]
    results = run(compose_config(*job, "stage2.max_epochs=1", "stage2.loss.eps_head=0.1"), tmp_path)
    assert results["dataset"]["image_shape"] == [3, 64, 64]
    assert results["network"]["backbone"] == {
        "name": "Torchvision", "network": "resnet18", "weights": None, "checkpoint": None,
    }  # fmt: skip
    assert load_run(tmp_path).predict_proba(torch.rand(2, 3, 64, 64)).shape == (2, 10)
    with pytest.raises(ValueError, match=r"must be \(N, 3, 64, 64\)"):
        load_run(tmp_path).predict_proba(torch.rand(2, 3, 32, 32))


def test_a_backbone_without_its_number_of_features_is_named(tmp_path):
    words = [w for w in TINY if "backbone" not in w]
    with pytest.raises(InputError, match=r"ResNet has no num_features.*model=torchvision model\.name=NAME"):
        run(compose_config(*words, "model.backbone._target_=torchvision.models.resnet18"), tmp_path)
