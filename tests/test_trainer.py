import signal

import pytest

from lt_calib.errors import InputError
from lt_calib.run import run
from lt_calib.training.trainer import TrainerSettings, resolve_precision
from tests.conftest import TINY, compose_config


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"eval_every": 0}, r"trainer.eval_every=0 must be a whole number >= 1"),
        ({"eval_every": 1.5}, r"trainer.eval_every=1.5 must be a whole number >= 1"),
        ({"devices": 0}, r"trainer.devices=0 must be a whole number >= 1"),
        ({"precision": "bf16-true"}, r"trainer.precision=bf16-true"),
        ({"precision": "16-mixed", "accelerator": "cpu"}, "trainer.precision=16-mixed needs a GPU"),
        ({"accelerator": "tpu9"}, "trainer: .*tpu9"),
    ],
)
def test_what_is_not_there_is_refused(settings, named):
    with pytest.raises(InputError, match=named):
        TrainerSettings(**settings)


def test_precision(monkeypatch):
    assert resolve_precision("16-mixed") == "16-mixed"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for flags, wanted in (("fpu avx512_bf16", "bf16-mixed"), ("amx_bf16", "bf16-mixed"), ("avx512f", "32-true")):
        monkeypatch.setattr("lt_calib.training.trainer._cpu_info", lambda key, flags=flags: flags)
        assert resolve_precision("auto") == wanted


def test_a_lone_process_under_slurm_is_not_lightnings_to_requeue_or_to_restore(tmp_path, monkeypatch):
    """Lightning would take up any hpc_ckpt file of the working directory, and write one at SIGUSR1."""
    (tmp_path / "hpc_ckpt_1.ckpt").write_bytes(b"of another job")
    monkeypatch.chdir(tmp_path)
    for name, value in {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "sweep", "SLURM_JOB_ID": "1"}.items():
        monkeypatch.setenv(name, value)
    before, during = signal.getsignal(signal.SIGUSR1), []
    monkeypatch.setattr(
        "lt_calib.training.finite.StopAtNonFinite.on_train_epoch_start",
        lambda self, *a: (during.append(signal.getsignal(signal.SIGUSR1)), setattr(self, "_losses", []))[1],
    )
    run(compose_config(*TINY), tmp_path / "run")
    assert during == [before]
