import json
import shutil
import statistics

import pytest

from tests.conftest import CONF, EXPERIMENTS
from tools.readme import generated, written


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
    later = shutil.ignore_patterns("*_seed[1-9].json")
    shutil.copytree(results / "published", tmp_path / "results" / "published", ignore=later)
    folder = tmp_path / "results" / "published" / "cifar10_lt_if100"
    for method, variant, seed, val_per_class in (("mixup_crt", "plain", 1, 0), ("mixup", "held_out", 0, 200)):
        content = json.loads((folder / f"{method}_plain_seed0.json").read_text())
        content["seed"], content["dataset"]["val_per_class"] = seed, val_per_class
        content["stage1"]["test"]["acc"] += 0.01
        (folder / f"{method}_{variant}_seed{seed}.json").write_text(json.dumps(content))
    both = [json.loads((folder / f"mixup_crt_plain_seed{seed}.json").read_text()) for seed in (0, 1)]
    values = [100 * content["stage1"]["test"]["acc"] for content in both]
    table = generated(tmp_path)["cifar10"]
    (stage1,) = [line for line in table.splitlines() if line.startswith("| `mixup") and "| 1 |" in line]
    ours = f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"
    assert stage1.startswith(f"| `mixup_crt` | 1 | {ours} |")  # of both seeds, mixup's only one among them
    assert "held out" not in table


def test_a_missing_mark():
    with pytest.raises(ValueError, match="must be there once"):
        written("no marks", {"methods": ""})
