import csv
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from lt_calib.figure.accuracy_ece import accuracy_against_ece
from lt_calib.report.by_factor import by_factor
from lt_calib.report.columns import usual
from lt_calib.report.figures import draw_comparisons
from lt_calib.report.formats import comma_separated, csv_of, latex_of, markdown, markdown_of
from lt_calib.report.matrix import matrix
from lt_calib.report.noise import beyond_noise
from lt_calib.report.page import page
from lt_calib.report.published import PUBLISHED_AS, published, published_rows, recipe_name, recipes
from lt_calib.report.rows import summarise
from lt_calib.report.table import overview
from lt_calib.report.verdict import reproduced
from tests.conftest import CONF, SMALL, built

RECIPE = {  # of conf/stage1/representation.yaml
    "lr": 0.1, "weight_decay": 0.0005, "batch_size": 128,
    "optimizer": {"name": "SGD", "momentum": 0.9, "nesterov": False},
    "schedule": {"name": "warmup_multistep", "warmup": 0.025, "milestones": [0.8, 0.9], "gamma": 0.1},
}  # fmt: skip
TARGETS = torch.arange(600) % 10


def run(folder: Path, name: str, skill: float, seed: int = 0, noise: int = 0, factor: float = 100) -> dict:
    """One finished run whose logits are there; ``noise`` draws other errors at the same skill."""
    folder = folder / f"{name}_{seed}_{factor:g}"
    folder.mkdir(parents=True)
    draws = torch.Generator().manual_seed(100 * noise + seed)
    logits = skill * torch.eye(10)[TARGETS] + torch.randn(600, 10, generator=draws)
    np.savez(folder / "predictions.npz", stage1_test_logits=logits.numpy(), test_targets=TARGETS.numpy())
    acc = float((logits.argmax(1) == TARGETS).double().mean())
    nll = float(torch.nn.functional.cross_entropy(logits, TARGETS))
    test = {
        "acc": acc, "nll": nll, "ece": 0.05, "ece_floor_mean": 0.012, "ece_floor_q95": 0.017, "acc_head": acc,
        "acc_medium": acc, "acc_tail": None,
    }  # fmt: skip
    return {
        "schema": 2, "name": name, "seed": seed, "settings": name, "folder": folder, "file": "results.json",
        "network": {"backbone": {"name": "ResNet32"}, "classifier": {"name": "Linear"}}, "recipe": RECIPE,
        "dataset": {
            "name": "cifar10_lt", "imbalance_factor": factor, "val_per_class": 0, "groups": {"head": list(range(10))}
        },
        "stage1": {"epochs": 200, "test": test}, "stage2": None, "calibrated": None,
        "environment": {"device": "cpu", "precision": "32-true"},
    }  # fmt: skip


def test_the_recipes_are_those_of_conf():
    """What a run of each file writes into results.json has a name, that of a file with this very recipe."""
    digits = ["dataset=digits_lt", "dataset.recipe.stage1_lr=0.1", "trainer.accelerator=cpu", "cache=off", *SMALL]
    own = {}
    for path in (CONF / "stage1").glob("*.yaml"):
        said = re.search(r"dataset\.batch_size=\d+", path.read_text())
        data = ["dataset=digits_features_lt", "model=none"] if "frozen: true" in path.read_text() else digits
        data = [*digits[: -len(SMALL)], "model=resnet50"] if path.stem == "fresh_block" else data
        data = [*data, "stage1.pretrained=false"] if path.stem in ("finetune", "adapter") else data
        data = [*data, "~stage1.adapter"] if path.stem == "adapter" else data
        job = built(*data, f"stage1={path.stem}", said[0] if said else "dataset.batch_size=128")
        own[path.stem] = job.record["recipe"]
    assert recipe_name(RECIPE) == "representation"
    assert own["representation"] == RECIPE
    assert set(recipes().values()) <= set(own)
    for recipe in own.values():
        name = recipe_name(recipe)
        assert name is not None
        assert own[name] == recipe


def several(folder: Path, name: str, skill: float, noise: int = 0, seeds: int = 3) -> list[dict]:
    return [run(folder, name, skill, seed, noise) for seed in range(seeds)]


def test_published_numbers_by_hand():
    both = published("cutmix_awabs", "cifar10_lt", 100, "stage2")
    assert [known[:3] for known in both] == [("4.4", 81.22, 2.553), ("4.6", 82.2, 2.55)]
    assert both[0][3:6] == (92.133, 79.625, 72.433)
    assert both[1].note.startswith("Table 4.4 prints")
    assert published("cutmix_las_class_balanced", "cifar10_lt", 100, "stage2") == both
    assert published("ce", "cifar10_lt", 100, "stage1")[0][:3] == ("4.6", 70.4, None)
    assert published("ce", "digits_lt", 100, "stage1") == ()
    assert sum(len(rows) for rows in published_rows().values()) == 153


def test_the_published_number_and_the_difference_stand_beside_ours(tmp_path):
    ours = run(tmp_path, "ce", 2.0)
    ours["stage1"]["test"]["acc"] = 0.7
    text = markdown(summarise([ours]))
    assert "70.40 (-), 4.6; 71.25 (-), DDC README, mean of seeds | -0.40 (-); -1.25 (-) |" in text
    assert "5.00 (floor 1.2, 1.7)" in text


def test_a_method_that_was_changed_says_so_unless_it_has_a_name_of_its_own(tmp_path):
    loss = {"stage2.loss._target_": "a.b.Poly1", "stage2.loss.gamma": 2.0, "stage2.loss.eps_head": None}
    cases = [({"stage2.loss.eps_head": 0.2}, "stage2.loss.eps_head=0.2"), (loss, "stage2.loss=Poly1"), ({}, "")]
    runs = [run(tmp_path / str(i), "ce", 2.0) | {"changed": c, "settings": str(i)} for i, (c, _) in enumerate(cases)]
    rows = summarise(runs)
    assert {row.group.settings: row.group.variant for row in rows} == {str(i): v for i, (_, v) in enumerate(cases)}
    assert "| `ce, stage2.loss=Poly1` |" in markdown(rows)
    assert [row.as_published for row in rows] == [not row.group.variant for row in rows]
    mine = run(tmp_path, "mine", 2.0) | {"experiment": "ce", "changed": loss}
    assert summarise([mine])[0].group.label == "mine"
    decay = run(tmp_path, "ce", 2.0) | {"changed": {"stage1.weight_decay": 2e-4}}
    decay["recipe"] = RECIPE | {"weight_decay": 0.0002}
    assert summarise([decay])[0].as_published  # a recipe of the field, by its name


@pytest.mark.parametrize(
    "change",
    [
        {"stage1": {"epochs": 30}},
        {"stage1": {"epochs": 400}},
        {"dataset": {"val_per_class": 200}},
        {"network": {"backbone": {"name": "ResNetCIFAR", "blocks": 1}}},
        {"recipe": RECIPE | {"lr": 0.05}},
        {"changed": {"augment._target_": "lt_calib.augment.cutout.CutOut"}},
    ],
)
def test_what_was_not_trained_as_published_has_no_difference(tmp_path, change):
    ours = run(tmp_path, "ce", 2.0)
    for node, settings in change.items():
        ours[node] = settings if node in ("recipe", "changed") else ours[node] | settings
    rows = summarise([ours])
    assert "70.40 (-), 4.6; 71.25 (-), DDC README, mean of seeds | - |" in markdown(rows)
    assert reproduced(rows) == []
    (grid, _) = matrix(rows)
    filled = [line for line in grid.lines if line[3] == "ours" and any(line[4:])]
    assert len(filled) == ("dataset" in change)  # beside the held-out runs of the campaign


def test_a_difference_inside_the_noise_is_not_bold(tmp_path):
    good, bad = several(tmp_path, "good", 3.0), several(tmp_path, "bad", 1.0, noise=1)
    assert beyond_noise(good, bad, "stage1", "acc")
    bold = {row.group.method: row.bold for row in summarise([*good, *bad])}
    assert bold == {"good": {"acc", "nll"}, "bad": set()}
    assert markdown(summarise([*good, *bad])).count("**") == 4
    twin = several(tmp_path, "twin", 3.0, noise=2)  # as good, with other errors
    assert {row.group.method: row.bold for row in summarise([*good, *bad, *twin])} == {
        "good": set(), "bad": set(), "twin": set(),
    }  # fmt: skip
    shared = several(tmp_path, "shared", 3.0)  # another experiment with the very stage 1 of good
    assert {row.group.method: row.bold for row in summarise([*good, *bad, *shared])} == {
        "good": {"acc", "nll"}, "bad": set(), "shared": {"acc", "nll"},
    }  # fmt: skip
    for one in good[1:]:
        (one["folder"] / "predictions.npz").unlink()
    assert all(not row.bold for row in summarise([*good, *bad]))  # one seed's logits: nothing is known of the others


def test_the_same_method_trained_twice_is_rarely_bold(tmp_path):
    """Seeds whose skill scatters by more than the pictures explain, as those of real networks do."""
    draws = np.random.default_rng(0)
    found = 0
    for trial in range(60):
        one, other = (
            [run(tmp_path / f"{trial}", name, 2 + 0.15 * draws.standard_normal(), seed, noise) for seed in range(3)]
            for noise, name in ((2 * trial, "one"), (2 * trial + 1, "other"))
        )
        found += beyond_noise(one, other, "stage1", "nll") or beyond_noise(other, one, "stage1", "nll")
    assert found <= 4  # 3 at 5 %; by the pictures alone it is 31


def test_bold_is_what_is_better_on_the_seeds_that_both_ran(tmp_path):
    """A half-run campaign: the mean over all seeds is ahead, and behind on the two seeds in common."""
    ahead = [run(tmp_path, "ahead", skill, seed) for seed, skill in enumerate((1.7, 1.7, 5.0, 5.0, 5.0))]
    behind = several(tmp_path, "behind", 2.5, noise=1, seeds=2)
    rows = {row.group.method: row for row in summarise([*ahead, *behind])}
    assert rows["ahead"].mean("acc") > rows["behind"].mean("acc")
    assert beyond_noise(behind, ahead, "stage1", "nll")
    assert not beyond_noise(ahead, behind, "stage1", "acc")
    assert not beyond_noise(ahead, behind, "stage1", "nll")
    assert rows["ahead"].bold == rows["behind"].bold == set()


def test_several_seeds_are_compared_by_seed_and_by_picture(tmp_path):
    good, bad = several(tmp_path, "good", 2.3), several(tmp_path, "bad", 1.7, noise=1)
    assert not beyond_noise(good[:1], bad[:1], "stage1", "nll")  # what one seed says of a method is not known
    assert beyond_noise(good, bad, "stage1", "acc")
    assert beyond_noise(good, bad, "stage1", "nll")
    assert not beyond_noise(good, [b | {"seed": b["seed"] + 9} for b in bad], "stage1", "nll")  # no common seed


def test_rows_of_calibrated_stages(tmp_path, caplog):
    ours = run(tmp_path, "ce", 2.0)
    calibrated = {"method": "temperature", "test": ours["stage1"]["test"] | {"nll": 0.123}}
    ours["calibrated"] = {"stage1": calibrated}
    rows = summarise([ours])
    assert [row.stage for row in rows] == ["1", "1 + temperature"]
    assert "0.123" in markdown(rows)
    other = run(tmp_path, "ce", 2.0, seed=1)
    assert len(summarise([ours, other])) == 1  # not of a part of the seeds
    ours["stage1"]["val"] = ours["stage1"]["test"]
    assert [row.stage for row in summarise([ours], "val")] == ["1"]
    calibrated["val"] = ours["stage1"]["val"] | {"nll": 0.5}
    assert list(summarise([ours], "val")[1].values["nll"]) == [0.5]
    other["stage1"]["val"] = other["stage1"]["test"]
    other["calibrated"] = {"stage1": {"method": "temperature", "test": {}}}  # of a version without the part
    assert [row.stage for row in summarise([ours, other], "val")] == ["1"]
    assert "stage1 + temperature: not measured on the val part for seed 1" in caplog.text
    vector = ours | {"calibrated": {"stage1": calibrated | {"method": "vector"}}}
    assert [row.stage for row in summarise([ours, vector])] == ["1", "1 + temperature", "1 + vector"]


def test_csv_has_one_number_a_cell(tmp_path):
    runs = [run(tmp_path, "ce", 2.0, seed) for seed in range(3)]
    (row,) = csv.DictReader(io.StringIO(comma_separated(summarise(runs))))
    values = [r["stage1"]["test"]["acc"] for r in runs]
    assert float(row["acc"]) == pytest.approx(np.mean(values))
    assert float(row["acc_sd"]) == pytest.approx(np.std(values, ddof=1))
    assert (row["n"], row["acc_tail"], row["published_acc_percent"]) == ("3", "", "70.4")


def test_methods_by_imbalance_factor_in_all_three_formats(tmp_path):
    runs = [run(tmp_path, name, 2.0, factor=factor) for name in ("ce", "ldam_drw") for factor in (10, 100)]
    runs = [run_ for run_ in runs if (run_["name"], run_["dataset"]["imbalance_factor"]) != ("ldam_drw", 10)]
    next(r for r in runs if r["dataset"]["imbalance_factor"] == 100)["stage1"]["test"]["acc"] = 0.7
    rows = summarise(runs)
    (grid,) = by_factor(rows)
    assert grid.head == ["method", "epochs", "stage", "", "IF 100", "IF 10"]
    lines = {(line[0], line[3]): line[4:] for line in grid.lines}
    assert lines["ce", "ours"][0] == "70.00 / 5.00 (1)"
    assert lines["ce", "published"][0] == "70.40 / - ; 71.25 / -"
    assert lines["ce", "difference"][0] == "-0.40 / - ; -1.25 / -"
    assert grid.title.startswith("cifar10_lt, ResNet32, 200 epochs of stage 1, on cpu in 32-true: ")
    assert lines["ldam_drw", "ours"][1] == ""  # nothing was run there
    assert "empty: not run" in grid.title
    assert "| ce | 200 | 1 | ours | 70.00 / 5.00 (1) |" in markdown_of(grid)
    assert r"ldam\_drw & 200 & 1 & ours & " in latex_of(grid)
    table = list(csv.reader(io.StringIO(csv_of([grid]))))
    assert table[1:] == [grid.head, *grid.lines]
    assert "head & medium & tail" in latex_of(overview(rows))


def test_the_table_of_every_metric_says_what_was_changed(tmp_path):
    ours = run(tmp_path, "ce", 2.0) | {"changed": {"stage1.sam_rho": 0.05}}
    grid = overview(summarise([ours]))
    (line,) = grid.lines
    cells = dict(zip(grid.head, line, strict=True))
    assert cells["method"] == "ce, stage1.sam_rho=0.05"
    assert (cells["ECE"], cells["tail"]) == ("5.00 (floor 1.2, 1.7)", "-")


def test_runs_with_a_part_of_the_metrics(tmp_path):
    ours, other = run(tmp_path, "ce", 2.0), run(tmp_path, "ldam_drw", 2.0, factor=10)
    for metric in ("ece", "ece_floor_mean", "ece_floor_q95"):
        del ours["stage1"]["test"][metric]
    rows = summarise([ours, other])
    assert "71.25 (-), DDC README, mean of seeds | -" in markdown(rows)
    (grid,) = by_factor(rows)
    lines = {(line[0], line[3]): line[4:] for line in grid.lines}
    assert lines["ce", "published"] == ["70.40 / - ; 71.25 / -", "86.40 / - ; 86.74 / -"]  # where others ran too
    assert lines["ce", "ours"][0].endswith(" / - (1)")


def test_every_cell_of_the_published_matrix_is_there_and_empty_where_nothing_ran(tmp_path):
    ours = run(tmp_path, "ce", 2.0, factor=100)
    ours["stage1"]["test"]["acc"] = 0.7
    cifar10, cifar100 = matrix(summarise([ours]))
    assert cifar10.head == ["method", "held out", "stage", "", "IF 200", "IF 100", "IF 50", "IF 10", "IF 1"]
    lines = {tuple(line[:4]): line[4:] for line in cifar10.lines}
    assert lines["ce", "0", "1", "ours"] == ["", "70.00 / 5.00 (1)", "", "", ""]
    theirs = ["-", "70.40 / - ; 71.25 / -", "74.80 / -", "86.40 / - ; 86.74 / -", "-"]
    assert lines["ce", "0", "1", "published"] == theirs
    assert lines["mislas", "0", "2", "ours"] == [""] * 5
    assert lines["crt", "0", "last", "ours"] == [""] * 5  # of which nothing was published here
    assert lines["ce", "200", "last + temperature", "ours"] == [""] * 5
    assert lines["balms", "0", "1", "published, no job of the campaign"][1] == "84.90 / -"
    assert not any(line[3] == "ours" and any(line[4:]) for line in cifar100.lines)
    shown = {tuple(line[:3]) for line in cifar10.lines} | {tuple(line[:3]) for line in cifar100.lines}
    published_methods = {PUBLISHED_AS.get(key[0], key[0]) for key in published_rows()}
    assert {method for method, *_ in shown} >= published_methods
    assert matrix(summarise([ours | {"dataset": ours["dataset"] | {"name": "digits_lt"}}])) == []


def test_held_out_runs_fill_their_own_cells_with_and_without_temperature(tmp_path):
    ours = run(tmp_path, "crt", 2.0)
    ours["dataset"]["val_per_class"] = 200
    ours["stage2"] = {"epochs": 10, "test": ours["stage1"]["test"] | {"acc": 0.8}}
    scaled = {"method": "temperature", "test": ours["stage2"]["test"] | {"ece": 0.02}}
    ours["calibrated"] = {"stage1": scaled, "stage2": scaled}
    lines = {tuple(line[:4]): line[4:] for line in matrix(summarise([ours]))[0].lines}
    assert lines["crt", "200", "last", "ours"][1] == "80.00 / 5.00 (1)"
    assert lines["crt", "200", "last + temperature", "ours"][1] == "80.00 / 2.00 (1)"
    assert lines["crt", "0", "last", "ours"][1] == ""


def test_one_table_by_factor_holds_both_stages_over_seeds(tmp_path):
    runs = [run(tmp_path, "mislas", 2.0, seed) for seed in range(2)]
    for acc, r in zip((0.5, 0.7), runs, strict=True):
        stage2 = {"epochs": 10, "test": r["stage1"]["test"] | {"acc": acc}}
        r["stage2"] = stage2
    (grid,) = by_factor(summarise(runs))
    ours = [line for line in grid.lines if line[3] == "ours"]
    assert [line[:3] for line in ours] == [["mislas", "200 + 10", "1"], ["mislas", "200 + 10", "2"]]
    assert ours[1][4] == "60.00 ± 14.14 / 5.00 ± 0.00 (2)"
    assert r"60.00 $\pm$ 14.14" in latex_of(grid)


def test_the_page_holds_everything_and_escapes_names(tmp_path):
    runs = [run(tmp_path, "<b>", 2.0), run(tmp_path, "ce", 1.0, noise=1)]
    rows = summarise(runs)
    paths = draw_comparisons(rows, tmp_path / "figures")
    assert len(paths) == 4
    text = page(rows, usual(rows), by_factor(rows), paths, [Path("outputs/failed")], "test set", tmp_path)
    assert "&lt;b&gt;" in text
    assert "<b>ce" not in text
    assert text.count("data:image/png;base64,") == 4
    assert "outputs/failed" in text
    assert "http" not in text  # nothing is fetched


def test_what_may_choose_is_marked_and_drawn_by_its_own_pictures(tmp_path, monkeypatch):
    """The validation part says the opposite of the test set, and only it is looked at."""
    good, bad = several(tmp_path, "good", 3.0), several(tmp_path, "bad", 1.0, noise=1)
    pairs = [*zip(good, bad, strict=True), *zip(bad, good, strict=True)]
    for one, other in pairs:
        one["stage1"]["val"] = other["stage1"]["test"]
    assert all(not row.bold for row in summarise([*good, *bad], "val"))  # no validation logits: nothing is known
    arrays = {r["folder"]: dict(np.load(r["folder"] / "predictions.npz")) for r in (*good, *bad)}
    for one, other in pairs:
        more = {"stage1_val_logits": arrays[other["folder"]]["stage1_test_logits"], "val_targets": TARGETS.numpy()}
        np.savez(one["folder"] / "predictions.npz", **arrays[one["folder"]], **more)
    rows = summarise([*good, *bad], "val")
    assert {row.group.method: row.bold for row in rows} == {"bad": {"acc", "nll"}, "good": set()}
    drawn: list[dict] = []
    monkeypatch.setattr(
        "lt_calib.report.figures.accuracy_against_ece",
        lambda points, title: (drawn.append(points), accuracy_against_ece(points, title))[1],
    )
    paths = draw_comparisons(rows, tmp_path / "figures", "val")
    assert all("_val_" in path.stem for path in paths)
    assert drawn[0]["good, stage 1"] == [(one["stage1"]["test"]["acc"], 0.05) for one in bad]


def test_other_networks_and_schedules_are_drawn_apart(tmp_path):
    runs = [run(tmp_path, "ce", 2.0, seed) for seed in range(3)]
    runs[1]["stage1"]["epochs"] = 30
    runs[2]["network"] = {"backbone": {"name": "ResNetCIFAR", "blocks": 1}, "classifier": {"name": "Linear"}}
    assert len(draw_comparisons(summarise(runs), tmp_path / "figures")) == 3


def test_seeds_that_agree_do_not_make_up_for_few_pictures(tmp_path):
    """Equal skill, and the same logits under each seed: no noise between seeds, and that of 600 pictures alone."""
    one, other = several(tmp_path, "one", 2.0), several(tmp_path, "other", 2.0, noise=1)
    for runs in (one, other):
        for again in runs[1:]:
            shutil.copy(runs[0]["folder"] / "predictions.npz", again["folder"] / "predictions.npz")
    assert not beyond_noise(one, other, "stage1", "nll")
    assert not beyond_noise(other, one, "stage1", "nll")
