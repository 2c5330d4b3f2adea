import pytest
import torch

from lt_calib.run import run
from lt_calib.stage.base import StageModule
from tests.conftest import TINY, compose_config


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_at_once_and_keeps_what_was_good(tmp_path, monkeypatch, wrong):
    whole, seen = StageModule.training_step, []

    def training_step(self, batch, batch_idx):
        step = whole(self, batch, batch_idx)
        seen.append(float(step["loss"].detach()))
        return step | {"loss": step["loss"] * (wrong if len(seen) == 7 else 1)}

    monkeypatch.setattr(StageModule, "training_step", training_step)
    cfg = compose_config(*TINY, "stage1.max_epochs=3", "dataset.if=100", "dataset.batch_size=64")
    with pytest.raises(
        ValueError, match=r"stage 1: the loss is (nan|inf) in epoch 2, step 2; the last was (\S+)\."
    ) as e:
        run(cfg, tmp_path)
    assert f"{seen[5]:.6g}" in str(e.value)
    assert len(seen) == 7
    kept = torch.load(tmp_path / "stage1.part.ckpt", weights_only=True)
    assert kept["epochs"] == 1
    assert all(v.isfinite().all() for v in kept["module"].values() if v.is_floating_point())


def test_weights_that_the_last_step_of_an_epoch_breaks_are_not_kept(tmp_path, monkeypatch):
    """The loss of that step was still finite: only the weights tell."""
    whole, seen = StageModule.training_step, []

    def training_step(self, batch, batch_idx):
        step = whole(self, batch, batch_idx)
        seen.append(step["loss"])
        if len(seen) == 2:
            step["loss"].register_hook(lambda gradient: gradient * float("inf"))
        return step

    monkeypatch.setattr(StageModule, "training_step", training_step)
    cfg = compose_config(*TINY, "stage1.max_epochs=3", "dataset.if=100", "dataset.batch_size=1000")
    with pytest.raises(ValueError, match=r"stage 1: the weights are not finite after epoch 2, whose last loss was \d"):
        run(cfg, tmp_path)
    kept = torch.load(tmp_path / "stage1.part.ckpt", weights_only=True)
    assert kept["epochs"] == 1
    assert all(v.isfinite().all() for v in kept["module"].values() if v.is_floating_point())
