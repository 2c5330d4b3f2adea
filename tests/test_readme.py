import json
import shutil

import pytest

from lt_calib.readme import generated, written
from tests.conftest import CONF, EXPERIMENTS


def test_the_readme_says_what_conf_and_results_say():
    blocks = generated(CONF.parent)
    assert len(blocks["methods"].splitlines()) == len(EXPERIMENTS) + 2
    assert "| `cutmix_awabs` | 2 |" in blocks["cifar10"]
    assert blocks["cifar10"].count("| `mixup` | 1 |") == 1  # which five experiments share
    assert "| `mixup_crt` | 1 |" not in blocks["cifar10"]
    text = (CONF.parent / "README.md").read_text()
    assert written(text, blocks) == text, "run: make readme"


def test_a_campaign_under_way(tmp_path):
    """Other seeds of one of the experiments that share a stage 1, and runs that hold pictures out."""
    results = CONF.parent / "results"
    shutil.copytree(results / "cifar10_lt_if100_val200", tmp_path / "results" / "cifar10_lt_if100_val200")
    shutil.copytree(results / "published", tmp_path / "results" / "published")
    folder = tmp_path / "results" / "published" / "cifar10_lt_if100"
    for method, variant, seed, val_per_class in (("mixup_crt", "plain", 1, 0), ("mixup", "held_out", 0, 200)):
        content = json.loads((folder / f"{method}_plain_seed0.json").read_text())
        content["seed"], content["dataset"]["val_per_class"] = seed, val_per_class
        content["stage1"]["test"]["acc"] += 0.01
        (folder / f"{method}_{variant}_seed{seed}.json").write_text(json.dumps(content))
    table = generated(tmp_path)["cifar10"]
    (stage1,) = [line for line in table.splitlines() if line.startswith("| `mixup") and "| 1 |" in line]
    assert stage1.startswith("| `mixup_crt` | 1 | 72.64 ± 0.71 |")  # of both seeds, mixup's only one among them
    assert "held out" not in table


def test_a_missing_mark():
    with pytest.raises(ValueError, match="must be there once"):
        written("no marks", {"methods": ""})
