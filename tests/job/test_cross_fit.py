"""Rows that are held out in turn are predicted by stages that have not seen them."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from lt_calib.calibrate import calibrate_folder
from lt_calib.dataset.split import folds_of
from lt_calib.errors import InputError
from lt_calib.job.build import build, settle
from lt_calib.job.cross_fit import fit_folds
from lt_calib.metric.nll_balanced import balanced_nll
from lt_calib.posthoc.temperature import best_temperature
from lt_calib.run import run
from tests.conftest import TINY, compose_config

COUNTS = [40, 20, 9, 1]
SHORT = [
    "stage1.max_epochs=2", "stage2.max_epochs=2", "figures=false", "trainer.accelerator=cpu",
    "trainer.precision=32-true", "metric=[acc,nll,nll_balanced]", "cache=off", "dataset.batch_size=16",
]  # fmt: skip


def table(path, targets: np.ndarray, seed: int = 0, **others: np.ndarray) -> dict[str, np.ndarray]:
    """A file of features around one corner a class; of everything that is drawn once."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(len(targets), 6)).astype(np.float32) + 1.5 * np.eye(6, dtype=np.float32)[targets]
    arrays = {"train_features": features, "train_targets": targets, "test_features": features[:5],
              "test_targets": targets[:5], **others}  # fmt: skip
    np.savez(path, **arrays)
    return arrays


@pytest.fixture
def targets() -> np.ndarray:
    return np.random.default_rng(1).permutation(np.repeat(np.arange(4), COUNTS))


def command(path, *overrides: str) -> list[str]:
    return [*SHORT, "+experiment=frozen_awabs", "dataset=features", f"dataset.file={path}", *overrides]


def test_folds_deal_each_class_out(targets):
    place = folds_of(torch.from_numpy(targets), (), 5, seed=0)
    assert torch.bincount(place).tolist() == [14] * 5
    for c, count in enumerate(COUNTS):
        there = torch.bincount(place[torch.from_numpy(targets) == c], minlength=5)
        assert there.max() - there.min() <= 1
        assert there.sum() == count
    assert not folds_of(torch.from_numpy(targets), (), 5, seed=1).equal(place)


def test_folds_keep_together_what_belongs_together(targets):
    patients = [f"patient {i // 4}" for i in range(len(targets))]
    place = folds_of(torch.from_numpy(targets), patients, 3, seed=0)
    assert set(place.tolist()) == {0, 1, 2}
    for patient in set(patients):
        assert len({f for f, p in zip(place.tolist(), patients, strict=True) if p == patient}) == 1


def test_a_row_is_predicted_by_what_was_trained_on_the_other_folds(targets, tmp_path):
    arrays = table(tmp_path / "all.npz", targets)
    run(compose_config(*command(tmp_path / "all.npz", "cross_fit=3")), tmp_path / "run")
    found = np.load(tmp_path / "run" / "predictions.npz")
    place = folds_of(torch.from_numpy(targets), (), 3, seed=0).numpy()
    single = targets == 3  # its one row is trained on in each fold, and never held out
    rows = np.concatenate([np.flatnonzero((place == fold) & ~single) for fold in range(3)])
    np.testing.assert_array_equal(found["val_targets"], targets[rows])
    assert len(rows) == len(targets) - 1
    held = (place == 1) & ~single
    others = {"train_features": arrays["train_features"][~held], "train_targets": targets[~held],
              "test_features": arrays["train_features"][held], "test_targets": targets[held]}  # fmt: skip
    np.savez(tmp_path / "others.npz", **others)
    run(compose_config(*command(tmp_path / "others.npz")), tmp_path / "alone")
    alone = np.load(tmp_path / "alone" / "predictions.npz")
    for stage in ("stage1", "stage2"):
        mine = found[f"{stage}_val_logits"][place[rows] == 1]
        np.testing.assert_allclose(mine, alone[f"{stage}_test_logits"], atol=1e-5)
        seen = np.load(tmp_path / "run" / "predictions.npz")[f"{stage}_test_logits"]
        assert np.abs(mine[:5] - seen[:5]).max() > 0.01  # or it could have seen them


def test_the_grid_is_chosen_from_by_rows_that_were_held_out(targets, tmp_path):
    table(tmp_path / "all.npz", targets)
    grid = ["+grid.eps_head=[0.0,0.3]", "+grid.lr=[0.004,0.1]", "+grid.select=nll"]
    results = run(compose_config(*command(tmp_path / "all.npz", "cross_fit=3", *grid)), tmp_path / "run")
    points = json.loads((tmp_path / "run" / "grid.json").read_text())
    of_each = [point["val"]["nll_balanced"] for point in points["points"]]
    assert points["chosen"] == int(np.argmin(of_each))
    assert points["chosen"] != 0
    assert results["stage2"]["val"] == points["points"][points["chosen"]]["val"]
    found = np.load(tmp_path / "run" / "predictions.npz")
    kept = torch.from_numpy(found["stage2_val_logits"]), torch.from_numpy(found["val_targets"])
    assert float(balanced_nll(*kept)) == pytest.approx(min(of_each), abs=1e-6)
    last = points["points"][-1]
    at = [f"stage2.loss.eps_head={last['settings']['eps_head']}", f"stage2.lr={last['settings']['lr']}"]
    alone = run(compose_config(*command(tmp_path / "all.npz", "cross_fit=3", *at)), tmp_path / "alone")
    for split in ("val", "test"):
        assert last[split]["nll"] == pytest.approx(alone["stage2"][split]["nll"], abs=1e-4)


def test_a_calibrator_is_fitted_to_rows_that_were_held_out_each_class_weighing_the_same(targets, tmp_path):
    table(tmp_path / "all.npz", targets)
    results = run(
        compose_config(*command(tmp_path / "all.npz", "cross_fit=3", "posthoc=temperature")), tmp_path / "run"
    )
    assert results["dataset"]["class_counts"] == COUNTS  # nothing is held out for good
    found = np.load(tmp_path / "run" / "predictions.npz")
    labels = torch.from_numpy(found["val_targets"])
    weights = 1 / torch.bincount(labels, minlength=4)[labels].double()
    weights *= weights.sum() / weights.square().sum()
    for stage in ("stage1", "stage2"):
        wanted = best_temperature(torch.from_numpy(found[f"{stage}_val_logits"]).double(), labels, weights)
        fitted = results["calibrated"][stage]
        assert fitted["parameters"]["temperature"] == pytest.approx(float(wanted), rel=1e-6)
        assert fitted["prior"] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])  # of the last class no row is held out
    assert calibrate_folder(tmp_path / "run", ["posthoc=temperature"])["calibrated"] == results["calibrated"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["cross_fit=1"], "cross_fit=1 must be 0, or at least 2"),
        (["cross_fit=3", "dataset.val_per_class=1", "dataset.if=2"], "have a validation part already"),
        (["cross_fit=3", "stage1.ckpt_path=some.ckpt"], "stage1.ckpt_path has seen all rows"),
        (["cross_fit=3", "resample=smote", "resample.space=pixels"], "resampled rows"),
    ],
)
def test_what_folds_could_not_repeat_is_refused(targets, tmp_path, overrides, said):
    targets = np.repeat(np.arange(4), [40, 20, 9, 6])
    table(tmp_path / "all.npz", targets)
    with pytest.raises((InputError, ValueError), match=said):
        run(compose_config(*command(tmp_path / "all.npz", *overrides)), tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_images_are_refused(tmp_path):
    with pytest.raises(InputError, match="features of a frozen network"):
        run(compose_config(*TINY, "+experiment=balanced_softmax", "cross_fit=5"), tmp_path)


def test_tau_is_chosen_on_rows_that_were_held_out(targets, tmp_path):
    """A slow twin: every tau on every fold's rows by the fold's own stage 1, each class weighing the same."""
    arrays = table(tmp_path / "rows.npz", targets)
    short = [word for word in SHORT if not word.startswith("stage2")]
    words = [*short, "dataset=features", f"dataset.file={tmp_path / 'rows.npz'}", "+experiment=frozen_tau_norm"]
    job = build(settle(compose_config(*words, "cross_fit=3"), tmp_path / "run"), tmp_path / "run")
    folds = fit_folds(job)
    right = np.zeros((21, len(COUNTS)))
    for fold in folds:
        first: Any = fold.stages[0].module.classifier
        weight = first.weight.detach()
        with torch.no_grad():
            inputs = fold.stages[0].module.backbone(torch.tensor(arrays["train_features"][fold.rows]))
        for i in range(21):
            found = (inputs @ (weight / weight.norm(dim=1, keepdim=True) ** (i / 10)).T).argmax(1).numpy()
            np.add.at(right[i], targets[fold.rows][found == targets[fold.rows]], 1)
    held = np.bincount(np.concatenate([targets[fold.rows] for fold in folds]), minlength=len(COUNTS))
    shares = (right[:, held > 0] / held[held > 0]).sum(1)
    wanted = int(np.argmax(np.round(shares, 9))) / 10
    tuned: list[Any] = [stage.module.classifier for stage in (job.stages[-1], *(fold.stages[-1] for fold in folds))]
    assert [float(classifier.tau) for classifier in tuned] == pytest.approx([wanted] * 4)
    last, of_fold = tuned[1], folds[0].stages
    own: Any = of_fold[0].module.classifier
    weight = own.weight
    torch.testing.assert_close(last.weight, weight / weight.norm(dim=1, keepdim=True) ** wanted)
    kept = run(compose_config(*words, "cross_fit=3"), tmp_path / "again")
    assert kept["stage2"]["epochs"] == 0
    assert kept["stage2"]["classifier"] == {"tau": pytest.approx(wanted)}
    state = torch.load(tmp_path / "again" / "stage2.ckpt", weights_only=True)["classifier"]
    assert float(state["tau"]) == pytest.approx(wanted)
