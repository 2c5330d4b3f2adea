import subprocess

import pytest

from lt_calib.dataset import imagenet_lt, inaturalist18, places_lt
from lt_calib.dataset.benchmark import blob_id, recognized
from lt_calib.settings.check import check_keys
from lt_calib.settings.schema import changed_of, plain


def test_the_id_of_a_blob_is_gits(tmp_path):
    assert blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    (tmp_path / "list.txt").write_text("train/n01440764/n01440764_190.JPEG 0\n")
    git = subprocess.run(["git", "hash-object", "list.txt"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert blob_id((tmp_path / "list.txt").read_bytes()) == git.stdout.strip()


def test_a_list_is_recognized_by_its_content(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("a.jpg 0\n")
    known = {blob_id(b"a.jpg 0\n")[:12]: "the list of a"}
    assert recognized(path, known) == "mine.txt is the list of a"
    path.write_text("a.jpg 0")
    assert "no list known here" in recognized(path, known)


@pytest.mark.parametrize("about", [imagenet_lt.ABOUT, places_lt.ABOUT, inaturalist18.ABOUT])
def test_ids_are_of_git(about):
    assert all(len(known) in (12, 40) and set(known) <= set("0123456789abcdef") for known in about.lists)
    assert len(set(about.lists.values())) == len(about.lists)


PUBLISHED = {  # of MiSLAS: network, epochs, weight decays, mixup's alpha, eps, what is shifted, mean of red
    "imagenet_lt": ("resnet50", 180, (5e-4, 5e-4), 0.2, (0.3, 0.0), True, 0.485),
    "places_lt": ("resnet152", 90, (5e-4, 5e-4), 0.2, (0.4, 0.1), ["network.layer4.2"], 0.485),
    "inaturalist18": ("resnet50", 200, (1e-4, 1e-4), 0.2, (0.3, 0.0), True, 0.466),
    "inaturalist17": ("resnet50", 200, (1e-4, 1e-4), 0.2, (0.3, 0.0), True, 0.466),
}


@pytest.mark.parametrize("dataset", PUBLISHED)
@pytest.mark.parametrize("factor", ["null", "50"])
def test_a_benchmark_brings_its_recipe_along(composed, dataset, factor):
    cfg = composed("+experiment=mislas", f"dataset={dataset}", f"dataset.if={factor}")
    check_keys(cfg)
    one, two = cfg.stage1, cfg.stage2
    decays, eps = (one.weight_decay, two.weight_decay), (two.loss.eps_head, two.loss.eps_tail)
    network, red = cfg.model.backbone.network, cfg.dataset.mean[0]
    assert (network, one.max_epochs, decays, cfg.augment.alpha, eps, two.shift_bn, red) == PUBLISHED[dataset]
    assert (one.lr, two.lr, two.lr_factor, two.max_epochs, cfg.dataset.batch_size) == (0.1, 0.1, 0.05, 10, 256)
    assert one.schedule._target_.endswith(".cosine")
    assert (cfg.transform._target_.split(".")[-1], cfg.transform.size) == ("ResizedCrop", 224)
    assert changed_of(plain(cfg)) == {}


def test_an_experiment_and_the_command_line_choose_before_the_data_set(composed):
    assert composed("stage1=bbn", "dataset=imagenet_lt").stage1.schedule.gamma == 0.01
    assert composed("+experiment=ldam", "dataset=imagenet_lt").model.classifier._target_.endswith(".Cosine")
    kang = composed(
        "+experiment=crt", "dataset=inaturalist18", "model=resnet10", "stage1=kang", "dataset.batch_size=512"
    )
    assert (kang.stage1.max_epochs, kang.stage1.lr, kang.stage1.weight_decay) == (90, 0.2, 1e-4)
    assert kang.model.backbone._target_.endswith(".ResNet10")


def test_other_data_sets_keep_theirs(composed):
    cfg = composed("+experiment=mislas", "dataset=cifar100_lt")
    assert (cfg.augment.alpha, cfg.stage2.weight_decay) == (1.0, 2e-4)
    assert cfg.model.backbone._target_.endswith(".ResNet32")
