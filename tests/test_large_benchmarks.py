"""The large benchmarks end to end, on generated trees in the published formats: all classes, few images."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lt_calib.job.build_stages import build_network
from lt_calib.run import run
from tests.conftest import compose_config
from tests.dataset.trees import coco, counts, imagenet, inaturalist, places, write_images, write_list

SHORT = [
    "+experiment=mislas", "dataset.size=16", "stage1.max_epochs=1", "stage2.max_epochs=1", "trainer.accelerator=cpu",
    "trainer.precision=32-true", "figures=false", "cache=off", "metric=[acc,acc_top5,ece]",
]  # fmt: skip


def trained(folder: Path, dataset: str, *words: str) -> dict:
    named = [f"dataset={dataset}", f"dataset.root={folder / 'data'}", *SHORT]
    return run(compose_config(*named, *words), folder / "run")


def laid_out(top: Path, lines: dict[str, list[tuple[str, int]]], **lists: str) -> None:
    top.mkdir()
    for split, name in lists.items():
        write_list(top / name, lines[split])
        write_images(top, lines[split])


def check(results: dict, num_classes: int) -> None:
    data, stages = results["dataset"], (results["stage1"], results["stage2"])
    assert len(data["class_counts"]) == len(set(data["class_names"])) == num_classes
    assert sum(map(len, data["groups"].values())) == num_classes
    for stage in stages:
        assert sum(stage["test_per_class"]["count"]) == num_classes
        assert stage["test"]["acc"] <= stage["test"]["acc_top5"] <= 1


@pytest.mark.slow
def test_imagenet_lt(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    lines = imagenet(counts(1000, 1280, 5))
    laid_out(
        tmp_path / "data", lines, train="ImageNet_LT_train.txt", test="ImageNet_LT_test.txt", val="ImageNet_LT_val.txt"
    )
    results = trained(
        tmp_path, "imagenet_lt", "model=resnet8", "dataset.val=ImageNet_LT_val.txt", "posthoc=temperature"
    )
    check(results, 1000)
    assert results["dataset"]["imbalance_factor"] == 12
    assert "temperature" in str(results["calibrated"])
    assert "ImageNet_LT_train.txt is no list known here" in caplog.text


@pytest.mark.slow
def test_places_lt_with_a_fresh_last_block(tmp_path):
    """But for the weights, which no test downloads, and a third of the layers: drawn ones overflow in 152 frozen."""
    lines = places(counts(365, 4980, 5), easy=False)
    laid_out(tmp_path / "data", lines, train="Places_LT_train.txt", test="Places_LT_test.txt")
    small = ["model.weights=null", "model.name=resnet50", "dataset.size=32"]
    results = trained(tmp_path, "places_lt", *small)
    check(results, 365)
    assert results["network"]["backbone"]["fresh"] == ["network.layer4.2"]
    about: Any = SimpleNamespace(image_shape=(3, 32, 32), num_classes=365)
    drawn = build_network(compose_config("dataset=places_lt", *small), about)[0].state_dict()
    one, two = (torch.load(tmp_path / "run" / f"stage{i}.ckpt", weights_only=True)["backbone"] for i in (1, 2))
    block = {key for key in one if key.startswith("network.layer4.2.")}
    statistics = {key for key in block if "running" in key or "num_batches" in key}
    assert {key for key in one if not torch.equal(one[key], drawn[key])} == block
    assert {key for key in one if not torch.equal(one[key], two[key])} == statistics


@pytest.mark.slow
def test_inaturalist18(tmp_path):
    lines = inaturalist(counts(8142, 1000, 2), "train_val2018")
    laid_out(tmp_path / "data", lines, train="iNaturalist18_train.txt", test="iNaturalist18_val.txt")
    check(trained(tmp_path, "inaturalist18", "model=resnet8"), 8142)


@pytest.mark.slow
def test_inaturalist17(tmp_path):
    lines = inaturalist(counts(5089, 3919, 9), "train_val_images")
    laid_out(tmp_path / "data", lines)
    for split, name in (("train", "train2017.json"), ("test", "val2017.json")):
        write_images(tmp_path / "data", lines[split])
        (tmp_path / "data" / name).write_text(coco(lines[split], 5089))
    check(trained(tmp_path, "inaturalist17", "model=resnet8"), 5089)
