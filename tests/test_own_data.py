"""Images of one's own, from the folder to the prediction: trained, repeated from the run's own list, predicted."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lt_calib.cache import entry
from lt_calib.predicted import predict_files
from lt_calib.predictor import load_run
from lt_calib.run import run
from tests.conftest import compose_config

COUNTS = {"train": (24, 9, 4, 1), "test": (6, 5, 2, 2)}
TINY = [
    "model=resnet8", "stage1.max_epochs=1", "stage1.lr=0.01", "trainer.precision=32-true", "trainer.accelerator=cpu",
    "figures=false", "dataset.size=16", "transform=letterbox", "+experiment=ce", "augment=cutmix",
    "metric=[acc,ece,nll,acc_balanced]",
]  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    top, rng = tmp_path_factory.mktemp("plankton"), np.random.default_rng(0)
    for split, counts in COUNTS.items():
        for c, n in enumerate(counts):
            folder = top / split / f"species {c}"
            folder.mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 60, (10 + 3 * i, 24, 3), dtype=np.uint8) + np.uint8(60 * c)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return top


@pytest.fixture(scope="module")
def trained(images, tmp_path_factory) -> Path:
    top = tmp_path_factory.mktemp("run")
    run(compose_config("dataset=folder", f"dataset.root={images}", f"cache.root={top / 'cache'}", *TINY), top / "run")
    return top


def test_the_natural_counts_are_trained_on_and_recorded(trained, images):
    results = json.loads((trained / "run" / "results.json").read_text())
    data = results["dataset"]
    assert data["name"] == images.name
    assert data["class_counts"] == list(COUNTS["train"])
    assert data["imbalance_factor"] == data["real_imbalance_factor"] == 24
    assert data["class_names"] == [f"species {c}" for c in range(4)]
    assert results["stage1"]["test_per_class"]["count"] == list(COUNTS["test"])
    assert data["split_sha256"] == hashlib.sha256((trained / "run" / "split.csv").read_bytes()).hexdigest()
    (key,) = entry.keys(trained / "cache")
    assert f"{images.name} IF natural, 1 epochs, CutMix" in entry.describe(trained / "cache", key)


def test_the_runs_own_list_repeats_it(trained, images, tmp_path):
    list_of_run = trained / "run" / "split.csv"
    assert list_of_run.read_text().splitlines()[:2] == [
        "image,label,class,split",
        "train/species 0/0.png,0,species 0,train",
    ]
    table = [f"dataset.file={list_of_run}", f"dataset.root={images}", "cache=off"]
    run(compose_config("dataset=table", *table, *TINY), tmp_path / "again")
    first, again = (np.load(folder / "predictions.npz") for folder in (trained / "run", tmp_path / "again"))
    assert np.array_equal(first["stage1_test_logits"], again["stage1_test_logits"])


def test_a_test_image_is_predicted_as_it_was_measured(trained, images):
    predictor, unreadable = load_run(trained / "run"), []
    paths = sorted((images / "test").rglob("*.png"))
    found = torch.stack([probs for _, probs in predict_files(predictor, paths, unreadable, [])]).numpy()
    assert not unreadable
    logits = np.load(trained / "run" / "predictions.npz")["stage1_test_logits"]
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(found, probs / probs.sum(axis=1, keepdims=True), atol=1e-5)


def test_images_that_are_read_anew_train_as_those_in_memory(images, tmp_path):
    still = ["dataset.flip=false", "dataset.padding=0", "dataset.num_workers=1", "cache=off"]  # nothing is drawn
    for kind, limit in {"resident": "4GB", "streamed": "0"}.items():
        settings = ["dataset=folder", f"dataset.root={images}", f"dataset.resident_below={limit}", *still, *TINY]
        run(compose_config(*settings), tmp_path / kind)
    first, again = (np.load(tmp_path / kind / "predictions.npz") for kind in ("resident", "streamed"))
    assert np.array_equal(first["stage1_test_logits"], again["stage1_test_logits"])
