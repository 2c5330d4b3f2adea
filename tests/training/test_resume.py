"""A run that was stopped goes on exactly."""

import csv
import json
import logging
from pathlib import Path

import pytest
import torch

from lt_calib.errors import InputError
from lt_calib.files.folder import fresh, log_into
from lt_calib.job.build import build, settle
from lt_calib.run import run
from lt_calib.stage.base import StageModule
from tests.conftest import TINY, compose_config

TIMES = {"seconds", "images_per_second"}


def without_times(node: object) -> object:
    if isinstance(node, dict):
        return {k: without_times(v) for k, v in node.items() if k not in TIMES}
    return [without_times(v) for v in node] if isinstance(node, list) else node


def what_a_run_gave(folder: Path) -> dict:
    found: dict = {"results": without_times(json.loads((folder / "results.json").read_text()))}
    with (folder / "history.csv").open() as stream:
        found["history"] = without_times(list(csv.DictReader(stream)))
    for stage in ("stage1", "stage2"):
        path = folder / f"{stage}.ckpt"
        if path.exists():
            kept = torch.load(path, weights_only=True)
            for part in ("backbone", "classifier"):
                found |= {f"{stage}.{part}.{k}": v.numpy().tobytes() for k, v in kept[part].items()}
    return found


def stop_at(monkeypatch, step: int) -> None:
    """Let the training step of this number, over both stages, fail."""
    seen = iter(range(step + 1))
    whole = StageModule.training_step

    def training_step(self, batch, batch_idx):
        if next(seen) == step:
            raise MemoryError("out of memory")
        return whole(self, batch, batch_idx)

    monkeypatch.setattr(StageModule, "training_step", training_step)


# Whatever keeps something from epoch to epoch, or changes with it.
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("ldam_drw", "bbn", "lade", "dynamic_balanced_softmax")]


@pytest.mark.parametrize("experiment", ["cutmix_awabs", "crt", *SLOW])
def test_a_run_stopped_in_either_stage_ends_as_an_undisturbed_one(experiment, tmp_path, monkeypatch):
    small = TINY if experiment != "bbn" else [o for o in TINY if "backbone" not in o]
    settings = [*small, f"+experiment={experiment}", "dataset.batch_size=64", "dataset.if=100"]
    epochs = ["stage1.max_epochs=3", "dataset.val_per_class=5", "trainer.eval_every=2"]
    cfg = compose_config(*settings, *epochs, "stage1.schedule.warmup=0.9")  # each epoch has a rate of its own
    if "_target_" in cfg.stage2:
        cfg.stage2.max_epochs = 3
    first, *second = (-(-len(stage.sampler) // 64) for stage in build(settle(cfg, tmp_path), tmp_path).stages)
    run(cfg, tmp_path / "whole")
    moments = [first + 1, *(2 * first + steps + 1 for steps in second)]  # in the midst of each stage's second epoch
    for moment, stage in zip(moments, (1, 2), strict=False):
        with monkeypatch.context() as patch:
            stop_at(patch, moment)
            with pytest.raises(MemoryError):
                run(cfg, tmp_path / "stopped")
        assert torch.load(tmp_path / "stopped" / f"stage{stage}.part.ckpt", weights_only=True)["epochs"] == 1
    run(cfg, tmp_path / "stopped")
    assert what_a_run_gave(tmp_path / "stopped") == what_a_run_gave(tmp_path / "whole")
    assert not list((tmp_path / "stopped").glob("*.part*"))


def test_a_damaged_file_to_go_on_from_is_named(tmp_path, monkeypatch):
    cfg = compose_config(*TINY, "stage1.max_epochs=2", "dataset.batch_size=64", "dataset.if=100")
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        with pytest.raises(MemoryError):
            run(cfg, tmp_path)
    part = tmp_path / "stage1.part.ckpt"
    part.write_bytes(part.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"stage1.part.ckpt cannot be resumed from.*Remove it"):
        run(cfg, tmp_path)


def test_resume_off_takes_a_folder_of_its_own(tmp_path):
    assert fresh(tmp_path / "seed0") == tmp_path / "seed0"
    for name in ("seed0", "seed0_2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("")
    assert fresh(tmp_path / "seed0") == tmp_path / "seed0_3"


def test_and_its_log(tmp_path, monkeypatch):
    root = logging.Logger("root")
    monkeypatch.setattr("lt_calib.files.folder.logging.getLogger", lambda: root)
    (tmp_path / "seed0").mkdir()
    root.addHandler(logging.FileHandler(tmp_path / "seed0" / "run.log"))
    log_into(tmp_path / "seed0")  # its own already
    root.warning("one")
    log_into(tmp_path / "seed0_2")
    root.warning("two")
    assert [(tmp_path / name / "run.log").read_text() for name in ("seed0", "seed0_2")] == ["one\n", "two\n"]


def test_the_precision_that_auto_was_is_kept(tmp_path, monkeypatch):
    """A job that is queued again may come to another machine."""
    settings = [o for o in TINY if "precision" not in o]
    monkeypatch.setattr("lt_calib.training.trainer._cpu_info", lambda key: "")
    stop_at(monkeypatch, 2)
    with pytest.raises(MemoryError):
        run(compose_config(*settings), tmp_path)
    monkeypatch.setattr("lt_calib.training.trainer._cpu_info", lambda key: "avx512_bf16")
    with pytest.raises(InputError, match=r"trainer\.precision"):
        run(compose_config(*settings), tmp_path)


def test_an_empty_file_to_go_on_from_is_named(tmp_path):
    (tmp_path / "stage1.part.ckpt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"stage1.part.ckpt cannot be resumed from: .*Remove it"):
        run(compose_config(*TINY), tmp_path)


def test_results_are_written_when_all_has_been_told_and_before_the_logger_is_closed(tmp_path, monkeypatch):
    """They make the run a finished one: killed before them, the next start tells them again."""
    seen = []
    for name in ("log_results", "finish"):
        monkeypatch.setattr(
            f"lt_calib.logger.none.NoLogger.{name}",
            lambda *a, name=name: seen.append((name, (tmp_path / "results.json").exists())),
        )
    run(compose_config(*TINY), tmp_path)
    assert seen == [("log_results", False), ("finish", True)]
