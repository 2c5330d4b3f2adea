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
