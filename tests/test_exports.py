"""Public names: loaded on first use, cheap to import, one home each."""

import importlib
import subprocess
import sys

import pytest

import lt_calib

ROOMS = (
    "augment",
    "conformal",
    "loss",
    "measure",
    "metric",
    "model",
    "posthoc",
    "prior",
    "resample",
    "sampler",
    "transform",
    "logger",
)
HEAVY = ("lightning", "hydra", "omegaconf", "wandb", "matplotlib")


def imported(code: str) -> set[str]:
    """The heavy packages that are imported after the code."""
    code += f"; import sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("name", lt_calib.__all__)
def test_every_public_name_is_there(name):
    assert getattr(lt_calib, name) is not None


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_gives_its_classes_and_functions_under_their_own_names(room):
    package = importlib.import_module(f"lt_calib.{room}")
    assert package.__all__
    for name in package.__all__:
        found = getattr(package, name)
        assert found.__module__.startswith(f"lt_calib.{room}.")
        assert found.__name__ == name


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match=r"module 'lt_calib\.loss' has no attribute 'Awabs'"):
        importlib.import_module("lt_calib.loss").Awabs  # noqa: B018
    with pytest.raises(ImportError):
        from lt_calib import Awabs  # noqa: F401


def test_a_loss_or_a_metric_needs_neither_lightning_nor_hydra_nor_wandb():
    assert imported("from lt_calib import AWABS, expected_calibration_error, ece_floor, Temperature") == set()
    assert imported("from lt_calib.loss import LDAM; from lt_calib.metric import brier_score") == set()


def test_the_import_of_the_package_imports_nothing():
    code = "import lt_calib, sys; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_published_paths_stay():
    from lt_calib.augment.cutmix import CutMix
    from lt_calib.dataset.datamodule import LongTailedDataModule
    from lt_calib.dataset.long_tail import select_indices
    from lt_calib.loss.awabs import AWABS
    from lt_calib.metric.ece import expected_calibration_error
    from lt_calib.stage.classifier import ClassifierModule
    from lt_calib.stage.representation import RepresentationModule

    parts = (AWABS, LongTailedDataModule, select_indices, expected_calibration_error, ClassifierModule)
    assert [getattr(lt_calib, part.__name__) for part in (*parts, RepresentationModule)] == [
        *parts,
        RepresentationModule,
    ]
    assert importlib.import_module("lt_calib.augment").CutMix is CutMix
