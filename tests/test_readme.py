import json
import re
import shutil
import statistics
from functools import cache

import numpy as np
import pytest

from lt_calib.report.read import read_runs
from lt_calib.report.rows import summarise
from tests.conftest import CONF, EXPERIMENTS
from tools import picture
from tools.readme import PAGES, PICTURES, collect, generated, written

TOP = CONF.parent
MOST_BYTES = 150_000


@cache
def blocks():
    return generated(TOP, collect(TOP))


def test_the_tables_have_a_row_for_each_experiment_and_each_metric():
    assert len(blocks()["methods"].splitlines()) == len(EXPERIMENTS) + 2
    metrics = {path.stem for path in (CONF / "metric").glob("*.yaml")}
    assert set(re.findall(r"^\| `(\w+)`", blocks()["metrics"], re.MULTILINE)) == metrics
    assert "| `cutmix_awabs` | 2 |" in blocks()["cifar10"]
    measured = [line for line in blocks()["cifar10"].splitlines() if "(floor" in line]
    assert sum(line.startswith("| `mixup` | 1 |") for line in measured) == 1  # which five experiments share
    assert "| `mixup_crt` | 1 |" not in blocks()["cifar10"]
    assert {line.count("|") for line in blocks()["results"].splitlines()} == {6}


@pytest.mark.parametrize("page", PAGES)
def test_pages_say_what_conf_and_results_say(page):
    text = (TOP / page).read_text()
    assert written(text, {name: blocks()[name] for name in PAGES[page]}) == text, "run: make readme"


def test_the_readme_is_short_and_its_pictures_small():
    text = (TOP / "README.md").read_text()
    assert len(text.split()) <= 1200
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert 1 <= len(shown) <= 3
    assert all((TOP / path).stat().st_size < MOST_BYTES for path in {*shown, *PICTURES})


def test_links_of_readme_and_contributing_lead_to_files():
    for page in ("README.md", "CONTRIBUTING.md"):
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (TOP / page).read_text())
        assert links
        assert [link for link in links if not (TOP / link).exists()] == []


def test_a_campaign_under_way(tmp_path):
    """Other seeds of one of the experiments that share a stage 1, and runs that hold pictures out."""
    results = TOP / "results"
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
    table = generated(tmp_path, collect(tmp_path))["cifar10"]
    (stage1,) = [line for line in table.splitlines() if line.startswith("| `mixup") and "| 1 |" in line]
    ours = f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"
    assert stage1.startswith(f"| `mixup_crt` | 1 | {ours} |")  # of both seeds, mixup's only one among them
    assert "held out" not in table


def test_rows_on_frozen_features_stand_beside_the_others(tmp_path):
    shutil.copytree(TOP / "results" / "cifar10_lt_if100_val200", tmp_path / "results" / "cifar10_lt_if100_val200")
    shutil.copytree(TOP / "results" / "published", tmp_path / "results" / "published")
    run = json.loads((TOP / "results/published/cifar100_lt_if100/mislas_plain_seed0.json").read_text())
    (tmp_path / "results" / "frozen.json").write_text(json.dumps(run | {"name": "frozen_awabs"}))
    rows = collect(tmp_path)
    found = generated(tmp_path, rows)
    assert "| `frozen_awabs` | 2 |" in found["frozen"]
    assert "frozen" not in found["cifar100"]
    assert "frozen network, AWABS" in found["results"]


def test_a_missing_mark():
    with pytest.raises(ValueError, match="must be there once"):
        written("no marks", {"methods": ""})


def test_the_picture_has_a_point_and_a_name_for_each_row_and_none_on_another():
    rows = summarise(read_runs([TOP / "results/published/cifar100_lt_if100"]))
    rows = [row for row in rows if row.stage == "2"]
    axis = picture.draw(rows, "title").axes[0]
    points = [tuple(point) for dots in axis.collections for point in np.asarray(dots.get_offsets()).tolist()]
    assert sorted(points) == sorted((100 * row.mean("ece"), 100 * row.mean("acc")) for row in rows)
    names = [text for text in axis.texts if isinstance(text, picture.Annotation)]
    assert sorted(text.get_text() for text in names) == sorted(row.group.label for row in rows)
    boxes = [picture.box_of(text) for text in names]
    assert all(box.count_overlaps(boxes) == 1 for box in boxes)  # itself
