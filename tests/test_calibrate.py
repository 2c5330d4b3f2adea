import errno
import json
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from lt_calib.calibrate import calibrate_folder, main
from lt_calib.errors import InputError
from lt_calib.job.calibrators import load_calibrator
from lt_calib.job.results import read_predictions, write_predictions
from lt_calib.measure.cross_fit import cross_fitted, made_worse
from lt_calib.measure.per_class import per_class
from lt_calib.metric.ece import expected_calibration_error
from lt_calib.posthoc.temperature import best_temperature
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
    calibrator = load_calibrator(folder / "calibrators.ckpt", "stage2", [9] * 10, after["calibrated"]["stage2"])
    logits, targets = read_predictions(folder / "predictions.npz")["stage2"]["test"]
    accuracy = float((calibrator(logits).argmax(1) == targets).float().mean())
    assert accuracy == pytest.approx(after["calibrated"]["stage2"]["test"]["acc"])
    calibrate_folder(folder, ["posthoc=none"])
    assert json.loads((folder / "results.json").read_text()) == before
    assert not (folder / "calibrators.ckpt").exists()


def test_the_test_set_decides_nothing(folder, monkeypatch):
    from lt_calib.posthoc.base import Calibrator

    seen, fit = [], Calibrator.fit
    monkeypatch.setattr(Calibrator, "fit", lambda self, z, t, w=None: (seen.append(z), fit(self, z, t, w))[1])
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
    logits[:, 0] = torch.arange(60) / 10  # the order in which a class is dealt out, class c from fold c mod 5 on
    bare = partial(Vector, strength=0)
    out = cross_fitted(bare, logits, targets)
    assert out is not None
    for fold in range(5):
        held = (torch.arange(60) // 10 + targets) % 5 == fold
        alone = bare(10).fit(logits[~held], targets[~held])(logits[held])
        torch.testing.assert_close(out[held].exp(), alone)
    own = bare(10).fit(logits, targets)(logits).log()
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
        load_calibrator(folder / "calibrators.ckpt", "stage2", [9] * 10, {})


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

    def spy(probs, targets, title, n_bins):
        seen[title] = probs, targets
        return draw(probs, targets, title, n_bins)

    monkeypatch.setattr(of_run, "reliability", spy)
    calibrate_folder(folder, ["posthoc=class_temperature"])
    assert drawn() == {
        f"stage{i}_calibrated_{of}reliability" for i in (1, 2) for of in ("", "group_", "predicted_group_")
    }
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
        calibrator = load_calibrator(folder / "calibrators.ckpt", stage, [9] * 10, found)
        assert calibrator.settings()["temperature"] != pytest.approx(1, abs=0.01)  # or nothing would be told apart
        expected = per_class(calibrator.probs(logits.double()).float(), targets)
        assert found["test_per_class"]["confidence"] == pytest.approx(expected["confidence"], abs=1e-5)


def test_the_folder_is_the_first_argument_whatever_it_contains(folder, monkeypatch):
    odd = folder.with_name("+if=1")
    folder.rename(odd)
    monkeypatch.chdir(odd.parent)
    monkeypatch.setattr(sys, "argv", ["calibrate", odd.name, "posthoc=temperature"])
    main()
    assert json.loads((odd / "results.json").read_text())["calibrated"]["stage1"]["method"] == "temperature"


def test_what_the_held_out_images_do_not_say_is_in_the_results_and_on_the_screen(folder, monkeypatch, capsys):
    """All held-out images right: of the NLL alone, T would be 0."""
    predictions = read_predictions(folder / "predictions.npz")
    logits, targets = predictions["stage1"]["val"]
    right = logits.clone()
    right[torch.arange(len(targets)), targets] = logits.amax(dim=1) + 3
    test, labels = predictions["stage1"]["test"]
    before = float(torch.nn.functional.cross_entropy(test, labels))
    predictions["stage1"]["val"] = right, targets
    write_predictions(folder / "predictions.npz", predictions, [1] * 10)
    monkeypatch.setattr(sys, "argv", ["calibrate", str(folder), "posthoc=temperature"])
    main()
    found = json.loads((folder / "results.json").read_text())["calibrated"]
    assert "all 100 held-out images are right" in found["stage1"]["doubts"][0]
    assert not any("are right, which" in doubt for doubt in found["stage2"]["doubts"])
    assert found["stage1"]["parameters"]["temperature"] > 0.3
    assert found["stage1"]["test"]["nll"] < 2 * before
    said = capsys.readouterr().out
    assert "1 temperature*" in said
    assert "* 1 temperature: with it all 100 held-out images are right" in " ".join(said.split())


def test_a_calibrator_that_makes_held_out_images_worse_is_said():
    """NLL log 2 each before; after it log 10 in nine of ten images, and log 2 in one."""
    labels = torch.zeros(10, dtype=torch.long)
    after = torch.tensor([[0.1, 0.9]] * 9 + [[0.5, 0.5]]).double().log()
    assert "2.142, and without it that is 0.693" in str(made_worse(torch.zeros(10, 2), after, labels))
    assert made_worse(torch.zeros(10, 2), torch.tensor([[0.5, 0.5]] * 10).double().log(), labels) is None
    assert made_worse(torch.zeros(10, 2), after.flip(1), labels) is None  # better
    one_worse = torch.tensor([[0.4, 0.6]] + [[0.5, 0.5]] * 9).double().log()
    assert made_worse(torch.zeros(10, 2), one_worse, labels) is None  # noise may be all of it


def read_only(monkeypatch, below: Path) -> None:
    """Let the system say of every write below a folder what it says on a read-only file system, of removals too."""

    def refusing(method):
        def call(self, *args, **kwargs):
            reads = method.__name__ == "open" and kwargs.get("mode", args[0] if args else "r") in ("r", "rb")
            if self.is_relative_to(below) and not reads:
                raise OSError(errno.EROFS, "Read-only file system", str(self))
            return method(self, *args, **kwargs)

        return call

    for name in ("open", "write_bytes", "write_text", "unlink"):
        monkeypatch.setattr(Path, name, refusing(getattr(Path, name)))


def test_a_folder_that_cannot_be_written_is_said_before_the_work(folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with monkeypatch.context() as patched:
        patched.setattr("lt_calib.job.calibrators.calibrate", None)  # no work is begun
        read_only(patched, folder)
        patched.setattr(sys, "argv", ["calibrate", str(folder), "posthoc=temperature"])
        with pytest.raises(SystemExit, match=rf"{folder} cannot be written to \(Read-only file system\): copy the run"):
            main()
        patched.setattr(sys, "argv", ["calibrate", str(folder), "posthoc=none"])
        with pytest.raises(SystemExit, match="Read-only"):
            main()
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    (folder / "calibrators.ckpt").mkdir()
    with pytest.raises(InputError, match=r"calibrators.ckpt is a folder"):
        calibrate_folder(folder, ["posthoc=temperature"])


def test_what_is_fitted_to_a_long_tailed_part_is_weighed_to_balance(tmp_path):
    """val_fraction holds a part out that is as long-tailed: T is that of weights 1 / n_c, scaled."""
    results = run(compose_config(*RUN, "dataset.val_fraction=0.2", "posthoc=temperature"), tmp_path)
    logits, targets = read_predictions(tmp_path / "predictions.npz")["stage2"]["val"]
    counts = torch.bincount(targets, minlength=10)
    assert counts.max() > 4 * counts.min()
    weights = 1 / counts[targets].double()
    weights *= weights.sum() / weights.square().sum()
    found = results["calibrated"]["stage2"]
    plain = float(best_temperature(logits.double(), targets))
    assert found["parameters"]["temperature"] == pytest.approx(
        float(best_temperature(logits.double(), targets, weights))
    )
    assert found["parameters"]["temperature"] != pytest.approx(plain, rel=1e-3)
    assert found["effective_size"] == pytest.approx(float(weights.sum()))
    assert "val" not in found
    assert results["dataset"]["val_fraction"] == 0.2
