"""A grid's points are the jobs that they stand for."""

import json
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException

from lt_calib.errors import InputError
from lt_calib.figure.grid_map import grid_map
from lt_calib.job.build_grid import at_point, build_grid, points_of
from lt_calib.measure.evaluate import evaluate
from lt_calib.report.__main__ import main as report
from lt_calib.report.point import draw_point, predictions_of
from lt_calib.run import run
from lt_calib.stage.grid import GridModule
from tests.conftest import TINY, built, compose_config

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
    logits = np.load(gridded / "grid.npz")[f"point{point}_test_logits"]
    alone = np.load(tmp_path / "predictions.npz")["stage2_test_logits"]
    np.testing.assert_allclose(logits, alone, atol=0.02, rtol=2e-3)  # kept in float16
    assert logits.dtype == np.float16


ONE = [*TINY, "stage1.max_epochs=1", "stage2.max_epochs=2", "dataset.batch_size=64", "dataset.if=100"]
SLOW = pytest.mark.slow
OTHERS = {
    "crt": ["stage2.lr=0.01", "+grid.weight_decay=[0.0005,0.5]"],
    "lws": ["stage2.lr=0.01", "+grid.lr_factor=[0.5,1.0]", "+grid.weight_decay=[0.0005,0.5]"],
    "cbce_stage2": ["stage2.lr=0.01", "+grid.weight_decay=[0.0005,0.5]"],
    "mislas": ["stage2.lr=0.01", "+grid.eps_head=[0.1,0.3]"],  # LAS, class-balanced, shifted BN
}


def compare(gridded, alone, point: int) -> None:
    """The point's test logits are the job's, to what is lost by keeping them in float16."""
    logits = np.load(gridded / "grid.npz")[f"point{point}_test_logits"]
    expected = np.load(alone / "predictions.npz")["stage2_test_logits"]
    np.testing.assert_allclose(logits, expected, atol=2e-3, rtol=1e-3)
    assert np.abs(logits - np.load(gridded / "grid.npz")["point0_test_logits"]).max() > 0.01 or point == 0


@pytest.mark.parametrize(
    "experiment", ["crt", *(pytest.param(x, marks=SLOW) for x in ("mislas", "lws", "cbce_stage2"))]
)
def test_whatever_stage_2_is_a_point_is_its_own_job(experiment, tmp_path, monkeypatch):
    """The grid is killed in its second epoch and goes on, and validates between the epochs; the job does neither."""
    settings = [o for o in OTHERS[experiment] if "grid" not in o]
    cfg = compose_config(*ONE, f"+experiment={experiment}", *OTHERS[experiment], "dataset.val_per_class=5")
    grid = tmp_path / "grid"
    grid.mkdir()
    whole, seen = GridModule.training_step, []

    def stopped(self, batch, batch_idx):
        seen.append(self.current_epoch)
        if seen[-1] == 1:
            raise MemoryError
        return whole(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(GridModule, "training_step", stopped)
        with pytest.raises(MemoryError):
            run(cfg, grid)
    run(cfg, grid)
    points = json.loads((grid / "grid.json").read_text())["points"]
    last = len(points) - 1
    cfg = compose_config(
        *ONE, f"+experiment={experiment}", *settings, "dataset.val_per_class=5", "trainer.eval_every=5"
    )
    alone = run(at_point(cfg, points[last]["settings"]), tmp_path / "alone")["stage2"]
    compare(grid, tmp_path / "alone", last)
    for name, value in points[last]["test"].items():
        assert value == pytest.approx(alone["test"][name], abs=2e-5), name


DECAYS = ["+grid=eps", "grid.eps_head=[0.3]", "grid.eps_tail=[0.0]", "grid.form=[concave]"]


@pytest.mark.parametrize(
    ("batch_size", "decay", "epoch"),
    [
        pytest.param(64, 1e25, 1, marks=SLOW),  # a loss
        (4000, 1e25, 2),  # the last step breaks the weights, of which there is no loss any more
        (4000, 2e20, 2),  # weights of 1e38 are finite, and the logits are not
    ],
)
def test_a_point_that_diverges_does_so_alone(tmp_path, batch_size, decay, epoch):
    job = [*ONE, "+experiment=cutmix_awabs", f"dataset.batch_size={batch_size}", "stage2.lr=0.1", *DECAYS]
    job += ["dataset.val_per_class=5", "grid.select=nll"]
    run(compose_config(*job, f"+grid.weight_decay=[0.0002,{decay},0.1]"), tmp_path / "bad")
    points = json.loads((tmp_path / "bad" / "grid.json").read_text())["points"]
    (bad,) = (p for p in points if "diverged" in p)
    assert bad == {"point": bad["point"], "settings": bad["settings"], "diverged": epoch}
    assert bad["settings"]["weight_decay"] == decay
    assert all({"val", "test", "test_intervals", "test_per_class"} <= p.keys() for p in points if p is not bad)
    assert all(row["loss"] < 1e6 for row in torch.load(tmp_path / "bad" / "stage2.ckpt")["history"])

    if batch_size == 64:
        run(compose_config(*job, "+grid.weight_decay=[0.0002,0.1]"), tmp_path / "good")
        expected = json.loads((tmp_path / "good" / "grid.json").read_text())["points"]
        for found, wanted in zip((p for p in points if p is not bad), expected, strict=True):
            assert found["settings"] == wanted["settings"]
            assert found["test"]["nll"] == pytest.approx(wanted["test"]["nll"], abs=1e-5)

    figure = grid_map(points, 0, "title")
    shown = [text for axis in figure.axes if "accuracy" in axis.get_title() for text in axis.texts]
    assert len(shown) == len(points) - 1
    with pytest.raises(InputError, match=f"--point {bad['point']} diverged in epoch {epoch}"):
        draw_point(tmp_path / "bad", bad["point"])


@pytest.mark.slow
def test_experiments_own_settings_that_diverge_end_the_run_and_leave_the_others(tmp_path):
    job = [*ONE, "+experiment=cutmix_awabs", *DECAYS, "stage2.lr=0.1", "stage2.weight_decay=1e25"]
    cfg = compose_config(*job, "+grid.weight_decay=[0.0002]")
    with pytest.raises(ValueError, match=r"stage 2 diverged at the experiment's own settings in epoch 1.*grid\.select"):
        run(cfg, tmp_path / "a")
    assert not (tmp_path / "a" / "results.json").exists()
    grid = json.loads((tmp_path / "a" / "grid.json").read_text())
    assert grid["chosen"] is None
    assert ["test" in p for p in grid["points"]] == [False, True]
    chosen = run(
        compose_config(
            *job, "+grid.weight_decay=[0.0002]", "dataset.val_per_class=5", "trainer.eval_every=1", "grid.select=nll"
        ),
        tmp_path / "c",
    )["stage2"]  # the cure that the message names; validated in between
    assert chosen["point"]["weight_decay"] == 0.0002
    with pytest.raises(ValueError, match=r"stage 2: the loss is nan in epoch 1"):  # when no point is left
        run(compose_config(*job, "+grid.weight_decay=[2e25]"), tmp_path / "b")


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


@pytest.mark.slow
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


def test_a_grid_of_an_older_version_is_read(tmp_path):
    """It kept the logits of all points in one array."""
    kept = np.arange(24, dtype=np.float16).reshape(3, 4, 2)
    about = {"stage1_test_logits": kept[0] + 1, "test_targets": np.array([0, 1, 1, 0])}
    np.savez(tmp_path / "old.npz", point_logits=kept, **about)
    np.savez(tmp_path / "new.npz", **{f"point{k}_test_logits": z for k, z in enumerate(kept)}, **about)
    for name in ("old.npz", "new.npz"):
        read = predictions_of(tmp_path / name, 1)
        assert read["stage2"]["test"][0].tolist() == kept[1].tolist()
        assert read["stage2"]["test"][0].dtype == torch.float32
        assert read["stage1"]["test"][0].tolist() == (kept[0] + 1).tolist()
        assert read["stage2"]["test"][1].tolist() == [0, 1, 1, 0]


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
        (["+grid.eps_hed=[0.1]"], "grid.eps_hed is no setting of this stage 2; there are: lr, lr_factor"),
        (["grid.eps_head=0.1"], "must be a list"),
        (["grid.select=ece"], "grid.select=ece must be nll"),
        (["grid.select=nll"], "set dataset.val_per_class=200"),
        (["metric=[acc,ece]", "grid.select=nll", "dataset.val_per_class=5"], "add nll"),
        (["metric=[brier]"], "add nll, or with grid.select=null one of acc, ece, nll"),
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


def test_one_scale_of_the_gradients_for_all_points_is_refused():
    cfg, job = compose_config(*JOB, "+grid=eps"), built(*JOB)
    with pytest.raises(InputError, match=r"\+grid needs trainer.precision=bf16-mixed or 32-true"):
        build_grid(cfg, job.stages, job.metrics, "16-mixed", True)


def test_points_out_of_order_are_left_out():
    cfg = compose_config(*JOB, "+grid=eps")
    points = points_of(cfg)
    assert all(p["eps_tail"] <= p["eps_head"] for p in points)
    assert len(points) == 3 * (1 + 2 + 4 * 3)  # 0, 0.1 and four more values of eps_head


def test_only_the_axes_that_are_asked_for_are_run():
    cfg = compose_config(*JOB, "+grid.eps_head=[0.2,0.3,0.4]", "+grid.eps_tail=[0,0.15]")
    own, *points = points_of(cfg)
    assert own == {key: cfg.stage2.loss[key] for key in ("eps_head", "eps_tail")}
    assert points == [
        {"eps_head": h, "eps_tail": t} for h in (0.2, 0.3, 0.4) for t in (0, 0.15) if (h, t) != (*own.values(),)
    ]
    assert len(points) in (5, 6)


def test_the_map_is_of_what_was_measured():
    points = [{"settings": {"eps_head": h}, "diverged": 1} for h in (0.1,)]
    points += [{"settings": {"eps_head": h}, "test": {"acc": h, "ece": h}} for h in (0.2, 0.3)]  # metric=[acc,ece]
    panels = [axis for axis in grid_map(points, 1, "title").axes if axis.images]
    assert [axis.get_title() for axis in panels] == ["accuracy (%)", "ECE (%)"]


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


def test_the_map_names_its_axes_has_bars_and_fits_a_page():
    settings = [
        {"eps_head": h, "form": f, "lr_factor": r}
        for f in ("concave", "linear", "convex") for r in (0.1, 0.2, 0.5) for h in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    ]  # fmt: skip
    points = [{"settings": s, "test": {"acc": 0.5, "ece": s["eps_head"], "nll": 1.0}} for s in settings]
    figure = grid_map(points, 3, "title")
    panels = [axis for axis in figure.axes if axis.images]
    assert len(panels) == 3 * 3  # eps_head by form; lr_factor tells them apart
    assert "lr_factor 0.2" in panels[1].get_title()
    assert {axis.get_xlabel() for axis in panels} == {"eps_head", ""}
    assert {axis.get_ylabel() for axis in panels} == {"form", ""}
    bars = [axis.get_ylabel() for axis in figure.axes if axis.get_label() == "<colorbar>"]
    assert bars == ["accuracy (%)", "ECE (%)", "NLL"]
    assert (figure.get_size_inches() <= (7.4, 10.2)).all()


def test_the_experiments_own_point_off_the_grid_is_told_beside_it():
    own = {"settings": {"eps_head": 0.4, "eps_tail": 0.1}, "test": {"acc": 0.25}}
    points = [
        own,
        *({"settings": {"eps_head": h, "eps_tail": t}, "test": {"acc": h}} for h in (0.1, 0.2) for t in (0, 0.1)),
    ]
    figure = grid_map(points, 0, "title")
    (panel,) = (axis for axis in figure.axes if axis.images)
    drawn: Any = panel.images[0].get_array()
    assert drawn.filled(-1).tolist() == [[10, 20], [10, 20]]
    assert not panel.patches
    title = " ".join(figure.get_suptitle().split())
    assert "eps_head 0.4, eps_tail 0.1 (accuracy 25.00)" in title


def test_the_choice_follows_the_validation_part_and_not_the_test_set(tmp_path, monkeypatch):
    """The later a point is evaluated, the better on the validation part and the worse on the test set."""
    whole, seen = evaluate, []

    def opposed(logits, targets, *rest):
        found, val = whole(logits, targets, *rest), len(targets) == 50
        seen.append(val)
        return found | {"nll": float(seen.count(val)) * (-1 if val else 1)}

    monkeypatch.setattr("lt_calib.job.grid.evaluate", opposed)
    overrides = ["+grid.weight_decay=[0.0002,0.1]", "dataset.val_per_class=5", "grid.select=nll"]
    run(compose_config(*ONE, "+experiment=cutmix_awabs", *DECAYS, *overrides), tmp_path)
    grid = json.loads((tmp_path / "grid.json").read_text())
    assert seen.count(True) == seen.count(False) == len(grid["points"])
    assert grid["chosen"] == len(grid["points"]) - 1 > 0
