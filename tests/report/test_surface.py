import json

from lt_calib.report.formats import csv_of, markdown_of
from lt_calib.report.read import grid_of
from lt_calib.report.surface import surfaces


def run_with_grid(folder, seed, accuracies, chosen, factor=100, select: str | None = "nll", name="results.json"):
    """A finished run whose grid has one point for each value of eps_head."""
    folder.mkdir(parents=True)
    points = [
        {"settings": {"eps_head": 0.1 * k, "form": "concave"}, "val": {"acc": acc + 0.01, "ece": 0.02, "nll": 0.8},
         "test": {"acc": acc, "ece": 0.03, "nll": 0.7}}
        for k, acc in enumerate(accuracies)
    ]  # fmt: skip
    grid = {"schema": 2, "chosen": chosen, "select": select, "points": points}
    (folder / name.replace("results.json", "grid.json").replace("seed0.json", "seed0.grid.json")).write_text(
        json.dumps(grid)
    )
    data = {"name": "cifar10_lt", "imbalance_factor": factor, "val_per_class": 200}
    stages: dict = {"stage1": {"epochs": 30}, "stage2": {"epochs": 10}}
    for stage in stages.values():
        stage |= {"test": {}, "val": {}}
    environment = {"device": "cpu", "precision": "32-true"}
    return {
        "name": "a", "seed": seed, "dataset": data, **stages, "folder": folder, "file": name,
        "environment": environment, "network": {"backbone": {"name": "ResNet32"}, "classifier": {"name": "Linear"}},
        "settings": str(factor),
    }  # fmt: skip


def test_each_point_over_seeds_and_factors_with_what_the_validation_part_chose(tmp_path):
    runs = [
        run_with_grid(tmp_path / "0", 0, [0.5, 0.6], 1),
        run_with_grid(tmp_path / "1", 1, [0.7, 0.6], 1),
        run_with_grid(tmp_path / "2", 0, [0.8, 0.9], 0, factor=10),
    ]
    (table,) = surfaces(runs)
    about = "a, cifar10_lt, 200 a class held out, ResNet32 + Linear, 30 + 10 epochs"
    assert table.title == f"{about}: point: accuracy / ECE / NLL on the test set (runs)"
    assert table.head == ["eps_head", "form", "IF 100", "IF 10"]
    assert table.lines == [
        [
            "0.0",
            "concave",
            "0: 60.00 ± 14.14 / 3.00 ± 0.00 / 0.700 ± 0.000 (2)",
            "0: 80.00 / 3.00 / 0.700 (1) (chosen by 1)",
        ],
        [
            "0.1",
            "concave",
            "1: 60.00 ± 0.00 / 3.00 ± 0.00 / 0.700 ± 0.000 (2) (chosen by 2)",
            "1: 90.00 / 3.00 / 0.700 (1)",
        ],
    ]
    (table,) = surfaces(runs, "val")
    assert table.lines[0][3] == "0: 81.00 / 2.00 / 0.800 (1) (chosen by 1)"
    assert "on the validation part" in markdown_of(table)
    assert "(chosen by 2)" in csv_of([table])


def test_a_grid_of_which_nothing_was_chosen_and_a_run_without_one(tmp_path):
    plain = run_with_grid(tmp_path / "0", 0, [0.5], 0)
    (tmp_path / "0" / "grid.json").unlink()
    assert grid_of(plain) is None
    assert surfaces([plain]) == []
    (table,) = surfaces([plain, run_with_grid(tmp_path / "1", 1, [0.5], 0, select=None)])
    assert table.lines == [["0.0", "concave", "0: 50.00 / 3.00 / 0.700 (1)"]]


def test_a_campaigns_copy_of_a_grid_is_found(tmp_path):
    (table,) = surfaces([run_with_grid(tmp_path / "0", 0, [0.5], 0, name="a_plain_seed0.json")])
    assert table.lines == [["0.0", "concave", "0: 50.00 / 3.00 / 0.700 (1) (chosen by 1)"]]


def test_a_point_that_diverged_is_counted_and_in_no_mean(tmp_path):
    runs = [run_with_grid(tmp_path / str(seed), seed, [0.5, 0.6], 0) for seed in (0, 1)]
    path = tmp_path / "0" / "grid.json"
    grid = json.loads(path.read_text())
    grid["points"][1] = {"settings": grid["points"][1]["settings"], "diverged": 3}
    path.write_text(json.dumps(grid))
    (table,) = surfaces(runs)
    assert table.lines[1] == ["0.1", "concave", "1: 60.00 / 3.00 / 0.700 (1) (1 diverged)"]


def test_a_copy_of_a_run_counts_once_and_other_settings_stand_apart(tmp_path):
    ours = run_with_grid(tmp_path / "0", 0, [0.5], 0)
    copy = run_with_grid(tmp_path / "1", 0, [0.5], 0)
    other = run_with_grid(tmp_path / "2", 1, [0.7], 0) | {"settings": "other"}
    (table,) = surfaces([ours, copy])
    assert table.lines == [["0.0", "concave", "0: 50.00 / 3.00 / 0.700 (1) (chosen by 1)"]]
    assert len(surfaces([ours, other])) == 2
