"""A compiled backbone computes what the eager one does. Slow: compiling takes a minute."""

import copy

import pytest
import torch

from lt_calib.model.resnet_cifar import ResNetCIFAR
from lt_calib.run import run
from tests.conftest import TINY, compose_config


@pytest.mark.slow
def test_compiled_and_eager_agree_on_a_batch():
    # One step from the same weights; over many, rounding grows in any network with batch norm, as between processors.
    torch.manual_seed(0)
    eager = ResNetCIFAR(1).double()  # so that a difference is an error and not rounding
    compiled = copy.deepcopy(eager)
    compiled.compile(dynamic=False)
    images = torch.randn(32, 3, 32, 32, dtype=torch.float64)
    for net in (eager, compiled):
        net(images).square().mean().backward()
    assert torch.allclose(compiled(images), eager(images), rtol=1e-9)
    assert list(compiled.state_dict()) == list(eager.state_dict())
    for (name, a), b in zip(eager.named_parameters(), compiled.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-9, atol=1e-12), name  # type: ignore[arg-type]
    for (name, a), b in zip(eager.named_buffers(), compiled.buffers(), strict=True):
        assert torch.allclose(a.double(), b.double(), rtol=1e-9), name


@pytest.mark.slow
def test_a_run_compiles_and_leaves_a_plain_checkpoint(tmp_path, monkeypatch):
    calls = []
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda m, **k: (calls.append(type(m)), compile_module(m, **k)))
    run(compose_config(*TINY, "trainer.compile=true"), tmp_path)
    assert calls == [ResNetCIFAR]
    kept = torch.load(tmp_path / "stage1.ckpt", weights_only=True)["backbone"]
    assert list(kept) == list(ResNetCIFAR(1).state_dict())


@pytest.mark.slow
def test_the_second_job_of_a_sweep_is_compiled_too_and_sam(tmp_path, monkeypatch):
    """Dynamo's own limit is 8 variants of a function, which one job reaches; past it the network would run eagerly."""
    monkeypatch.setattr(torch._dynamo.config, "fail_on_recompile_limit_hit", True)
    for name, more in (("a", ["seed=1"]), ("b", ["stage1.sam_rho=0.05"])):
        job = [*TINY, "+experiment=cutmix_awabs", "trainer.compile=true", "dataset.val_per_class=5"]
        run(compose_config(*job, *more), tmp_path / name)
