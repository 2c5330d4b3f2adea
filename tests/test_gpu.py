"""What only a GPU can show; elsewhere all of it is skipped."""

import json

import pytest
import torch

from lt_calib.job.build_grid import at_point
from lt_calib.model.resnet_cifar import ResNetCIFAR
from lt_calib.run import run
from lt_calib.training.trainer import compile_in_place
from tests.conftest import CONF, TINY, built, compose_config
from tests.training.test_resume import stop_at, what_a_run_gave

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

ON_GPU = [*(word for word in TINY if not word.startswith("trainer.")), "trainer=gpu", "dataset.batch_size=64"]
AUGMENTATIONS = sorted(path.stem for path in (CONF / "augment").glob("*.yaml") if path.stem != "none")


def test_a_job_is_trained_in_bfloat16_and_says_on_what(tmp_path):
    settings = ["+experiment=cutmix_awabs", "dataset.val_per_class=5", "posthoc=temperature", "stage1.max_epochs=10"]
    results = run(compose_config(*ON_GPU, *settings), tmp_path)
    assert results["environment"]["device"] == f"1 x {torch.cuda.get_device_name()}"
    assert results["environment"]["precision"] == "bf16-mixed"
    assert results["stage2"]["test"]["acc"] > 0.3


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_no_augmentation_waits_for_the_device(name):
    callback = built("dataset=digits_lt", f"augment={name}").stages[0].augment
    assert callback is not None
    draws = torch.Generator("cuda").manual_seed(0)
    images, targets = torch.randn(64, 3, 32, 32, device="cuda"), torch.arange(64, device="cuda") % 10
    callback.set_epoch(1)
    callback.apply([images, targets, images.flip(0), targets.flip(0)], draws)  # what is copied once is there now
    torch.cuda.set_sync_debug_mode("error")
    try:
        callback.apply([images, targets, images.flip(0), targets.flip(0)], draws)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_stopped_job_ends_as_an_undisturbed_one(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    cfg = compose_config(*ON_GPU, "+experiment=cutmix_awabs", "stage1.max_epochs=3", "stage2.max_epochs=2")
    run(cfg, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 12)
        with pytest.raises(MemoryError):
            run(cfg, tmp_path / "stopped")
    run(cfg, tmp_path / "stopped")
    assert what_a_run_gave(tmp_path / "stopped") == what_a_run_gave(tmp_path / "whole")


def test_a_grids_point_is_its_own_job(tmp_path):
    settings = [*ON_GPU, "+experiment=cutmix_awabs", "stage2.max_epochs=2", "trainer.precision=32-true"]
    run(compose_config(*settings, "+grid=eps", "grid.form=[concave]"), tmp_path / "grid")
    point = json.loads((tmp_path / "grid" / "grid.json").read_text())["points"][3]
    cfg = compose_config(*settings)
    cfg.stage1.ckpt_path = str(tmp_path / "grid" / "stage1.ckpt")
    alone = run(at_point(cfg, point["settings"]), tmp_path / "alone")["stage2"]["test"]
    for metric in ("acc", "ece", "nll"):
        assert point["test"][metric] == pytest.approx(alone[metric], abs=1e-3), (point["settings"], metric)


def test_compiled_with_graphs_and_eager_agree_on_a_batch():
    torch.manual_seed(0)
    eager, compiled = (ResNetCIFAR(1).double().cuda() for _ in range(2))  # in double: a difference is no rounding
    compiled.load_state_dict(eager.state_dict())
    compile_in_place(compiled, torch.device("cuda"))
    images = torch.randn(32, 3, 32, 32, device="cuda", dtype=torch.float64)
    for net in (eager, compiled):
        net(images).square().mean().backward()
    for (name, a), b in zip(eager.named_parameters(), compiled.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-9, atol=1e-12), name  # type: ignore[arg-type]
