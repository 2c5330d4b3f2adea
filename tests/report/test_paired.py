import json
import sys
from pathlib import Path

import pytest

from lt_calib.report.__main__ import main
from lt_calib.report.paired import changes, method_effects, pooled, seed_noise, stage_effects
from lt_calib.report.published import published
from lt_calib.report.rows import summarise
from lt_calib.report.verdict import apart_by_chance, best_against_all, reproduced
from tests.report.test_tables import RECIPE


def one(name, seed, stage1, stage2=None, scaled=None, **more):
    """A run of the published network and schedule with these accuracies; its ECE is a tenth of the error."""

    def test(acc):
        ece = (1 - acc) / 10
        return {
            "acc": acc, "ece": ece, "nll": 1 - acc, "acc_tail": acc - 0.1, "ece_floor_mean": 0.01,
            "ece_floor_q95": 0.015,
        }  # fmt: skip

    calibrated = {f"stage{i}": {"method": "temperature", "test": test(acc)} for i, acc in enumerate(scaled or (), 1)}
    return {
        "name": name, "seed": seed, "settings": name, "folder": Path("nowhere"), "file": "a.json",
        "network": {"backbone": {"name": "ResNet32"}, "classifier": {"name": "Linear"}}, "recipe": RECIPE,
        "dataset": {"name": "cifar10_lt", "imbalance_factor": 100, "val_per_class": 0},
        "stage1": {"epochs": 200, "test": test(stage1)},
        "stage2": None if stage2 is None else {"epochs": 10, "test": test(stage2)}, "calibrated": calibrated,
        "environment": {"device": "cpu", "precision": "32-true"}, **more,
    }  # fmt: skip


def test_stage_2_minus_stage_1_is_taken_run_by_run():
    # 0.50 -> 0.53, 0.60 -> 0.61: +3 and +1, mean 2, sd sqrt(2); the seeds themselves lie 10 apart
    runs = [one("a", 0, 0.50, 0.53, scaled=(0.5, 0.5)), one("a", 1, 0.60, 0.61, scaled=(0.6, 0.62))]
    (grid,) = stage_effects(summarise([*runs, one("ce", 0, 0.4)]))
    assert grid.head[4:] == ["method", "stages", "accuracy", "ECE", "NLL", "tail"]
    raw, scaled = grid.lines
    assert raw[4:] == ["a", "2 - 1", "+2.00 ± 1.41 (2)", "-0.20 ± 0.14 (2)", "-0.020 ± 0.014 (2)", "+2.00 ± 1.41 (2)"]
    assert scaled[5:7] == ["2 + temperature - 1 + temperature", "+1.00 ± 1.41 (2)"]
    assert stage_effects(summarise([one("ce", 0, 0.4)])) == []


def test_a_method_minus_another_over_their_common_seeds(caplog):
    base = [one("base", seed, acc) for seed, acc in ((0, 0.50), (1, 0.60))]
    other = [one("other", seed, 0.4, acc) for seed, acc in ((1, 0.63), (2, 0.90), (0, 0.52))]
    cosine = {"backbone": {"name": "ResNet32"}, "classifier": {"name": "Cosine", "scale": 30}}
    other += [one("cosine", 0, 0.51, network=cosine)]
    shorter = [one("short", 0, 0.9, stage1_epochs=30)]
    shorter[0]["stage1"]["epochs"] = 30
    (grid,) = method_effects(summarise([*base, *other, *shorter]), "base")
    assert [line[4:8] for line in grid.lines] == [
        ["cosine, Cosine(scale=30)", "1", "cpu", "+1.00 (1)"], ["other", "2", "cpu", "+2.50 ± 0.71 (2)"],
    ]  # fmt: skip
    scaled, vector = (one(name, 0, 0.5, scaled=(acc,)) for name, acc in (("base", 0.5), ("vector", 0.6)))
    vector["calibrated"]["stage1"]["method"] = "vector"
    (grid,) = method_effects(summarise([scaled, vector]), "base")
    assert [line[4:8] for line in grid.lines] == [
        ["vector", "1", "cpu", "+0.00 (1)"], ["vector", "1 + vector", "cpu", "+10.00 (1)"],
    ]  # fmt: skip
    assert method_effects(summarise(base), "base") == []
    assert "nothing of base beside short" in caplog.text
    elsewhere = one("other", 0, 0.52, environment={"device": "gpu", "precision": "32-true"})
    (grid,) = method_effects(summarise([*base, elsewhere]), "base")
    assert grid.lines[0][4:8] == ["other", "1", "cpu / gpu", "+2.00 (1)"]
    twice = [one("base", 0, 0.4, settings="s"), *base]
    (grid,) = method_effects(summarise([*twice, *other[:3]]), "base")
    assert [line[4] for line in grid.lines] == ["other (minus settings base)", "other (minus settings s)"]


def test_changes_are_those_of_the_common_seeds_and_none_where_one_is_missing():
    def acc(*values):
        return summarise([one("a", seed, acc) for seed, acc in values])[0]

    assert changes(acc((0, 0.5)), acc((0, 0.6)))[0] == "+10.00 (1)"
    assert changes(acc((0, 0.5), (1, 0.9)), acc((0, 0.4), (2, 0.1)))[0] == "-10.00 (1)"
    assert changes(acc((0, 0.5)), acc((1, 0.6)))[0] == "-"
    assert changes(acc((0, 0.5), (1, 0.5)), acc((0, 0.4), (1, 0.4)))[0] == "-10.00 ± 0.00 (2)"
    gap = acc((0, 0.6), (1, 0.7))
    gap.values.loc[1, "acc"] = float("nan")
    assert changes(acc((0, 0.5), (1, 0.6)), gap)[:2] == ["-", "-1.00 ± 0.00 (2)"]


def test_noise_is_pooled_by_degrees_of_freedom():
    # variances in points^2: of a (49, 50, 51) 1 with 2, of b (40, 44) 8 with 1: sqrt((2 * 1 + 8) / 3)
    runs = [one("a", seed, acc) for seed, acc in enumerate((0.49, 0.50, 0.51))]
    runs += [one("b", seed, acc) for seed, acc in enumerate((0.40, 0.44))] + [one("c", 0, 0.9)]
    rows = summarise(runs)
    ((sd, freedom),) = [found["acc"] for found in pooled(rows).values()]
    assert (100 * sd, freedom) == (pytest.approx((10 / 3) ** 0.5), 3)
    assert seed_noise(rows)[0].lines[0][:6] == ["cifar10_lt", "100", "ResNet32", "200", "1", "1.83 (3)"]
    assert seed_noise(summarise(runs[-1:])) == []
    # Three readings of the same two stages 1: variances in points^2 of stage 2: 0, 2 and 8, their mean with 1.
    last = {"d": (0.50, 0.50), "e": (0.50, 0.52), "f": (0.50, 0.54)}
    shared = [one(name, seed, (0.5, 0.6)[seed], last[name][seed]) for name in last for seed in (0, 1)]
    found = {key[-1]: values["acc"] for key, values in pooled(summarise(shared)).items()}
    assert found == {"1": (pytest.approx(0.1 * 0.5**0.5), 1), "2": (pytest.approx(0.01 * (10 / 3) ** 0.5), 1)}
    # A third seed that one reading alone has yet joins them all the same: of stage 1 the variances 0.5, 0.5 and 1.
    third = {key[-1]: values["acc"] for key, values in pooled(summarise([*shared, one("d", 2, 0.7, 0.5)])).items()}
    assert third["1"] == (pytest.approx(0.1 * ((0.5 + 0.5 + 1) / 3) ** 0.5), 2)


def test_which_published_numbers_are_reproduced():
    theirs = published("ce", "cifar10_lt", 100, "stage1")
    assert [known.acc for known in theirs] == [70.4, 71.25]
    runs = [one("ce", seed, acc) for seed, acc in enumerate((0.68, 0.69, 0.70))]  # mean 69, sd 1: 2 sd reach 71
    (grid,) = reproduced(summarise(runs))
    columns = [[line[6], line[8], *line[10:13]] for line in grid.lines]
    # of three seeds: 4.303 * 1 * sqrt(4 / 3) = 4.97
    assert columns == [
        ["70.40", "69.00 ± 1.00 (3)", "-1.40", "within", "within"],
        ["71.25", "69.00 ± 1.00 (3)", "-2.25", "outside", "within"],
    ]
    # With a method of ten seeds and variance 0.01 / 9 the pooled sd is sqrt((2 + 0.01) / 11) = 0.43 points, 11 degrees
    # of freedom: 2.201 * 0.43 * sqrt(4 / 3) = 1.09.
    more = [one("other", seed, 0.5 + 0.001 * (seed == 9) / 0.9**0.5) for seed in range(10)]
    (grid,) = reproduced(summarise([*runs, *more]))
    assert [line[12] for line in grid.lines] == ["outside", "outside"]
    assert apart_by_chance(1.0, 2, 3) == pytest.approx(4.303 * (4 / 3) ** 0.5, abs=1e-3)
    single = reproduced(summarise(runs[:1]))[0].lines
    assert [line[11:13] for line in single] == [["open", "open"]] * 2  # nothing is known of one run's spread
    (mislas,) = reproduced(summarise([one("mislas", 0, 0.5, 0.8), *runs]))
    assert [line[4:6] for line in mislas.lines if line[2] == "mislas"] == [["2", "accuracy"], ["2", "ECE"]] * 2


def test_another_recipe_is_named_and_one_of_nobodys_is_not_compared():
    cao = RECIPE | {"weight_decay": 0.0002, "schedule": RECIPE["schedule"] | {"gamma": 0.01}}
    (grid,) = reproduced(summarise([one("ldam_drw", 0, 0.7, recipe=cao)]))
    assert [line[3] for line in grid.lines] == ["cao"]
    assert reproduced(summarise([one("ldam_drw", 0, 0.7, recipe=RECIPE | {"lr": 0.05})])) == []


def test_what_las_was_published_for_is_said_beside_awabs():
    for method, said in (("cutmix_awabs", True), ("cutmix_las_class_balanced", False)):
        (grid,) = reproduced(summarise([one(method, 0, 0.8, 0.8)]))
        notes = {line[4]: line[13] for line in grid.lines}
        assert ["LAS on class-balanced batches" in notes[stage] for stage in "12"] == [False, said]


def test_best_is_above_a_row_only_with_its_calibration():
    # ECE 0.1 * (1 - 0.83) = 1.7 %; the floor's quantile is 1.5 %
    (grid,) = best_against_all(summarise([one("best", 0, 0.5, 0.83), one("ce", 0, 0.9)]))
    by = {(line[3], line[4]): line[5:] for line in grid.lines}
    assert by["mislas, stage 2", "4.6"] == ["82.10", "83.00 (1)", "3.70", "1.70", "above", "open"]
    assert by["ce, stage 1", "4.6"] == ["70.40", "83.00 (1)", "-", "1.70", "above", "open"]
    assert by["cut_thumbnail_awabs, stage 1", "4.5"][-2] == "not above"  # 83.36 %
    low = best_against_all(summarise([one("best", 0, 0.5, 0.73)]))[0].lines  # ECE 2.7 %
    (mixup,) = [line for line in low if line[3] == "mixup, stage 1" and line[7] != "-"]
    assert mixup[5:] == ["72.80", "73.00 (1)", "2.14", "2.70", "not above", "open"]
    assert best_against_all(summarise([one("ce", 0, 0.9)])) == []
    several = [
        one("best", seed, 0.5, acc) for seed, acc in enumerate((0.829, 0.830, 0.831))
    ]  # 4.303 * 0.1 * 1.15 = 0.5
    (grid,) = best_against_all(summarise(several))
    by = {(line[3], line[4]): line[-2:] for line in grid.lines}
    assert by["mislas, stage 2", "4.6"] == ["above", "yes"]
    assert by["cutmix_awabs, stage 1", "4.4"] == ["above", "no"]  # 82.81 %


def test_a_reference_that_nothing_ran_beside(monkeypatch, tmp_path, capsys):
    for run in (one("a", 0, 0.5), one("b", 0, 0.6)):
        (tmp_path / f"{run['name']}.json").write_text(json.dumps(run | {"schema": 2, "folder": ""}))
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path), "--reference", "c"])
    with pytest.raises(SystemExit, match="--reference c: no other method ran beside it; there are: a, b"):
        main()
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path), "--reference", "a"])
    main()
    assert "last stage minus the last of a, by seed" in capsys.readouterr().out


@pytest.mark.parametrize(("ece", "verdict"), [(0.014, "above"), (0.016, "not above")])
def test_no_model_is_asked_to_be_below_its_noise_floor(ece, verdict):
    # published 1.2 %; of the floor the mean is 1, the 95 % quantile 1.5 %
    ours = one("best", 0, 0.5, 0.91, dataset={"name": "cifar10_lt", "imbalance_factor": 10, "val_per_class": 0})
    ours["stage2"]["test"]["ece"] = ece
    (grid,) = best_against_all(summarise([ours]))
    lines = [line for line in grid.lines if line[3] == "mislas, stage 2" and "MiSLAS README" in line[4]]
    assert [(line[7], line[9]) for line in lines] == [("1.50", verdict)]
