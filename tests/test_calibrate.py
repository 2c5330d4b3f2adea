import json
import shutil

import pytest
import torch

from lt_calib.calibrate import calibrate_folder, cross_fitted, load_calibrator
from lt_calib.errors import InputError
from lt_calib.job.results import read_predictions, write_predictions
from lt_calib.measure.per_class import per_class
from lt_calib.metric.ece import expected_calibration_error
from lt_calib.posthoc.vector import Vector
from lt_calib.predictor import load_run
from lt_calib.run import run
from tests.conftest import TINY, compose_config

RUN = [*TINY, "stage2.max_epochs=1", "+experiment=cutmix_awabs"]


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("held_out")
    run(compose_config(*RUN, "dataset.val_per_class=10"), folder)
    return folder


@pytest.fixture
def folder(held_out, tmp_path):
    shutil.copytree(held_out, tmp_path / "run")
    return tmp_path / "run"


def test_a_finished_run_is_calibrated_from_its_validation_logits(folder):
    before = json.loads((folder / "results.json").read_text())
    calibrate_folder(folder, ["posthoc=vector"])
    after = json.loads((folder / "results.json").read_text())
    assert set(after["calibrated"]) == {"stage1", "stage2"}
    assert len(after["calibrated"]["stage2"]["parameters"]["weight"]) == 10
    assert before["calibrated"] is None
    assert {k: v for k, v in after.items() if k != "calibrated"} == {
        k: v for k, v in before.items() if k != "calibrated"
    }
    calibrator = load_calibrator(folder / "calibrators.ckpt", "stage2", 10, after["calibrated"]["stage2"])
    logits, targets = read_predictions(folder / "predictions.npz")["stage2"]["test"]
    accuracy = float((calibrator(logits).argmax(1) == targets).float().mean())
    assert accuracy == pytest.approx(after["calibrated"]["stage2"]["test"]["acc"])
    calibrate_folder(folder, ["posthoc=none"])
    assert json.loads((folder / "results.json").read_text()) == before
    assert not (folder / "calibrators.ckpt").exists()


def test_the_test_set_decides_nothing(folder, monkeypatch):
    from lt_calib.posthoc.base import Calibrator

    seen, fit = [], Calibrator.fit
    monkeypatch.setattr(Calibrator, "fit", lambda self, z, t: (seen.append(z), fit(self, z, t))[1])
    calibrate_folder(folder, ["posthoc=temperature"])
    predictions = read_predictions(folder / "predictions.npz")
    for stage in (0, 1):
        whole, *folds = seen[6 * stage : 6 * stage + 6]
        logits, targets = predictions[f"stage{stage + 1}"]["val"]
        assert torch.equal(whole, logits)
        held = [{tuple(row) for row in logits.tolist()} - {tuple(row) for row in fold.tolist()} for fold in folds]
        assert [len(rows) for rows in held] == [len(targets) // 5] * 5
        assert set.union(*held) == {tuple(row) for row in logits.tolist()}


def test_what_was_fitted_to_a_picture_does_not_judge_it():
    """The slow twin, by hand; fitted to all of them, an over-fitted calibrator would look better than it is."""
    draws = torch.Generator().manual_seed(0)
    targets = torch.arange(60) % 10  # six of each class, in turn
    logits = 2 * torch.randn(60, 10, generator=draws)
    out = cross_fitted(Vector, logits, targets)
    assert out is not None
    for fold in range(5):
        held = torch.arange(60) // 10 % 5 == fold
        alone = Vector(10).fit(logits[~held], targets[~held])(logits[held])
        torch.testing.assert_close(out[held].exp(), alone.double())
    own = Vector(10).fit(logits, targets)(logits).log()
    nll = torch.nn.functional.nll_loss
    assert float(nll(out, targets)) > float(nll(own, targets)) + 0.1
    assert cross_fitted(Vector, logits[:10], targets[:10]) is None


def test_a_run_without_a_validation_part_is_refused(composed, tmp_path):
    with pytest.raises(InputError, match=r"dataset\.val_per_class"):
        run(composed(*RUN, "posthoc=temperature"), tmp_path)
    assert not (tmp_path / "stage1.ckpt").exists()  # before anything trained


def test_a_finished_run_without_a_validation_part_is_refused(folder):
    predictions = read_predictions(folder / "predictions.npz")
    without = {stage: {"test": splits["test"]} for stage, splits in predictions.items()}
    write_predictions(folder / "predictions.npz", without, [1] * 10)
    before = (folder / "results.json").read_bytes()
    with pytest.raises(InputError, match=r"dataset\.val_per_class"):
        calibrate_folder(folder, ["posthoc=temperature"])
    assert (folder / "results.json").read_bytes() == before


def test_classes_too_small_to_hold_any_out(composed, tmp_path):
    with pytest.raises(Exception, match="leave class 0 a picture to train on"):
        run(composed(*RUN, "dataset.val_per_class=500", "posthoc=temperature"), tmp_path)


def test_bad_arguments(folder, tmp_path):
    with pytest.raises(InputError, match=r"only posthoc can be set here"):
        calibrate_folder(folder, ["posthoc=vector", "seed=1"])
    with pytest.raises(InputError, match="no finished run"):
        calibrate_folder(tmp_path, ["posthoc=vector"])
    with pytest.raises(Exception, match="isotone"):
        calibrate_folder(folder, ["posthoc=isotone"])


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("subprocess.run", r"code outside lt_calib.* --trust"),
        ("lt_calib.run.os.getcwd", "no part that a file may build"),
        ("lt_calib.files.checkpoint.remove_remains", "no part that a file may build"),
    ],
)
def test_a_file_that_would_build_something_else(folder, target, said):
    content = torch.load(calibrated(folder), weights_only=True)
    content["posthoc"]["_target_"] = target
    torch.save(content, folder / "calibrators.ckpt")
    with pytest.raises(InputError, match=said):
        load_calibrator(folder / "calibrators.ckpt", "stage2", 10, {})


def test_calibrators_of_another_calibration_than_the_results(folder):
    """As a process leaves them that is killed between the two files."""
    calibrated(folder)
    before = (folder / "results.json").read_bytes()
    calibrate_folder(folder, ["posthoc=vector"])
    (folder / "results.json").write_bytes(before)
    with pytest.raises(InputError, match=r"another calibration than results.json: run lt_calib.calibrate again"):
        load_run(folder)
    calibrate_folder(folder, ["posthoc=vector"])
    assert load_run(folder).calibrator is not None
    (folder / "calibrators.ckpt").write_bytes(b"")
    with pytest.raises(InputError, match=r"calibrators.ckpt cannot be read"):
        load_run(folder)


def calibrated(folder):
    calibrate_folder(folder, ["posthoc=temperature"])
    return folder / "calibrators.ckpt"


def test_the_calibrated_stages_are_drawn_and_taken_back(folder, monkeypatch):
    from lt_calib.figure import of_run

    def drawn():
        return {path.stem for path in (folder / "figures").glob("*.png")}

    calibrate_folder(folder, ["posthoc=temperature"])
    assert drawn() == set()  # the run was told figures=false
    (folder / "config.yaml").write_text((folder / "config.yaml").read_text().replace("figures: false", "figures: true"))
    seen, draw = {}, of_run.reliability

    def spy(probs, targets, title):
        seen[title] = probs, targets
        return draw(probs, targets, title)

    monkeypatch.setattr(of_run, "reliability", spy)
    calibrate_folder(folder, ["posthoc=class_temperature"])
    assert drawn() == {f"stage{i}_calibrated_{of}reliability" for i in (1, 2) for of in ("", "group_")}
    found = json.loads((folder / "results.json").read_text())["calibrated"]
    for stage in ("stage1", "stage2"):
        (shown,) = (both for title, both in seen.items() if title.endswith(f"{stage} after class temperature"))
        assert float(expected_calibration_error(*shown)) == pytest.approx(found[stage]["test"]["ece"])
    calibrate_folder(folder, ["posthoc=none"])
    assert drawn() == set()


def test_intervals_and_classes_are_of_the_calibrated_probabilities(folder):
    calibrate_folder(folder, ["posthoc=temperature"])
    after = json.loads((folder / "results.json").read_text())
    for stage, splits in read_predictions(folder / "predictions.npz").items():
        logits, targets = splits["test"]
        found = after["calibrated"][stage]
        low, high = found["test_intervals"]["nll"]
        assert low <= found["test"]["nll"] <= high
        calibrator = load_calibrator(folder / "calibrators.ckpt", stage, 10, found)
        assert calibrator.settings()["temperature"] != pytest.approx(1, abs=0.01)  # or nothing would be told apart
        expected = per_class(calibrator.probs(logits.double()).float(), targets)
        assert found["test_per_class"]["confidence"] == pytest.approx(expected["confidence"], abs=1e-5)
