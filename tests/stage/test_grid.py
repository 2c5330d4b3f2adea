"""A grid's points are the jobs that they stand for."""

import json
import sys
from typing import Any

import numpy as np
import pytest
from hydra.errors import InstantiationException

from lt_calib.figure.grid_map import grid_map
from lt_calib.grid import at_point, points_of
from lt_calib.report.__main__ import main as report
from lt_calib.run import run
from tests.conftest import TINY, compose_config

JOB = [*TINY, "+experiment=cutmix_awabs", "stage2.max_epochs=2", "dataset.batch_size=64", "dataset.if=100"]
GRID = [
    "+grid=eps", "grid.eps_head=[0.1,0.4]", "grid.eps_tail=[0.0,0.3]", "grid.form=[concave]",
    "+grid.target_space=[test,train]", "+grid.lr_factor=[0.1,1.0]", "+grid.weight_decay=[0.0002,0.1]",
]  # fmt: skip


@pytest.fixture(scope="module")
def gridded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grid")
    run(compose_config(*JOB, *GRID, "dataset.val_per_class=5", "stage2.shift_bn=true", "grid.select=nll"), folder)
    return folder


@pytest.mark.parametrize("point", [0, 3, 22])
def test_a_point_is_its_own_job(gridded, tmp_path, point):
    grid = json.loads((gridded / "grid.json").read_text())
    cfg = compose_config(*JOB, "dataset.val_per_class=5", "stage2.shift_bn=true")
    cfg.stage1.ckpt_path = str(gridded / "stage1.ckpt")
    settings = grid["points"][point]["settings"]
    results = run(at_point(cfg, settings), tmp_path)["stage2"]
    for split in ("val", "test"):
        for name, value in grid["points"][point][split].items():
            assert value == pytest.approx(results[split][name], abs=2e-5), (settings, split, name)
    assert grid["points"][point]["test_intervals"]["nll"] == pytest.approx(results["test_intervals"]["nll"], abs=2e-5)
    logits = np.load(gridded / "grid.npz")["point_logits"]
    alone = np.load(tmp_path / "predictions.npz")["stage2_test_logits"]
    np.testing.assert_allclose(logits[point], alone, atol=0.02, rtol=2e-3)  # kept in float16
    assert logits.dtype == np.float16


def test_the_points_differ_and_the_choice_is_the_validation_parts(gridded):
    grid = json.loads((gridded / "grid.json").read_text())
    points = grid["points"]
    assert len(points) == 1 + 2 * 2 * 2 * 3  # the experiment's own, eps_head 0.3, is none of the product's
    assert len({round(p["test"]["nll"], 6) for p in points}) == len(points)
    own = compose_config(*JOB).stage2
    settings = {key: own.loss[key] for key in ("eps_head", "eps_tail", "form", "target_space")}
    settings |= {"lr_factor": own.lr_factor, "weight_decay": own.weight_decay}
    assert points[0]["settings"] == settings
    nll = [p["val"]["nll"] for p in points]
    assert grid["chosen"] == int(np.argmin(nll))
    results = json.loads((gridded / "results.json").read_text())
    assert results["stage2"]["point"] == points[grid["chosen"]]["settings"]
    assert results["stage2"]["test"]["nll"] == pytest.approx(points[grid["chosen"]]["test"]["nll"], abs=2e-5)


def test_one_point_in_full(gridded, monkeypatch, capsys):
    def command(point: str) -> object:
        monkeypatch.setattr(sys, "argv", ["report", str(gridded), "--point", point])
        try:
            return report()
        except SystemExit as stop:
            return stop.code

    assert command("2") is None
    assert "point 2: eps_head=" in capsys.readouterr().out
    assert (gridded / "figures_point_2" / "stage2_reliability.svg").exists()
    assert "--point 99 must be 0 to" in str(command("99"))


def test_without_a_choice_the_result_is_the_experiments_own(tmp_path):
    shared = [*JOB, "dataset.if=20"]
    plain = run(compose_config(*shared), tmp_path / "plain")
    both = [*shared, "+grid=eps", "grid.eps_tail=[0.0]", "grid.form=[linear]"]
    results = run(compose_config(*both), tmp_path / "grid")
    assert results["stage2"]["test"]["nll"] == pytest.approx(plain["stage2"]["test"]["nll"], abs=2e-5)
    assert results["stage1"]["test"] == plain["stage1"]["test"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["+grid.eps_hed=[0.1]"], "grid.eps_hed is no setting of this stage 2; there are: lr_factor"),
        (["grid.eps_head=0.1"], "must be a list"),
        (["grid.select=ece"], "grid.select=ece must be nll"),
        (["grid.select=nll"], "set dataset.val_per_class=200"),
        (["grid.eps_head=[0.7]"], "eps_head 0.7"),
        (["stage2=none"], "there is none"),
    ],
)
def test_what_is_refused_before_anything_trains(tmp_path, overrides, said):
    with pytest.raises((ValueError, InstantiationException)) as error:
        run(compose_config(*JOB, "+grid=eps", *overrides), tmp_path)
    chain = str(error.value) + str(error.value.__cause__)
    assert said in chain
    assert not (tmp_path / "config.yaml").exists()


def test_points_out_of_order_are_left_out():
    cfg = compose_config(*JOB, "+grid=eps")
    points = points_of(cfg)
    assert all(p["eps_tail"] <= p["eps_head"] for p in points)
    assert len(points) == 3 * (1 + 2 + 4 * 3)  # 0, 0.1 and four more values of eps_head


def test_the_map_shows_every_point_at_its_place():
    points = [
        {"settings": {"eps_head": h, "eps_tail": t, "form": f}, "test": {"acc": h, "ece": t, "nll": 1.0 + h}}
        for f in ("concave", "convex") for h in (0.1, 0.2, 0.3) for t in (0.0, 0.2) if t <= h
    ]  # fmt: skip
    figure = grid_map(points, 3, "title")
    panels = [axis for axis in figure.axes if axis.images]
    assert len(panels) == 3 * 2  # metrics by forms
    accuracy: Any = panels[0].images[0].get_array()
    assert accuracy.filled(-1).tolist() == [[10, 20, 30], [-1, 20, 30]]
    framed = [axis for axis in panels if axis.patches]
    assert len(framed) == 3  # in the chosen form's column only
    frame: Any = framed[0].patches[0]
    assert list(frame.get_xy()) == [1.5, -0.5]  # points[3]: eps_head 0.3, eps_tail 0
