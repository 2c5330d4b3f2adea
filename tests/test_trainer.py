import pytest

from lt_calib.errors import InputError
from lt_calib.trainer import make_trainer, resolve_precision


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"eval_every": 0}, r"trainer.eval_every=0 must be a whole number of epochs >= 1"),
        ({"precision": "bf16-true"}, r"trainer.precision=bf16-true"),
        ({"accelerator": "tpu9"}, "trainer: .*tpu9"),
    ],
)
def test_what_is_not_there_is_refused(settings, named):
    with pytest.raises(InputError, match=named):
        make_trainer(max_epochs=1, callbacks=[], **settings)


def test_precision(monkeypatch):
    assert resolve_precision("16-mixed") == "16-mixed"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for flags, wanted in (("fpu avx512_bf16", "bf16-mixed"), ("amx_bf16", "bf16-mixed"), ("avx512f", "32-true")):
        monkeypatch.setattr("lt_calib.trainer._cpu_info", lambda key, flags=flags: flags)
        assert resolve_precision("auto") == wanted
