"""What is refused by its value alone: by the check itself, and by the command before it imports anything heavy."""

import os
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from lt_calib.errors import InputError
from lt_calib.settings.values import ValueCheck, check_values


@pytest.mark.parametrize(
    "override",
    [
        "seed=-1", "resume=never", "predictions=float8", "stage1.max_epochs=-3", "stage2.max_epochs=0.5",
        "dataset.if=0.5", "dataset.if=ten", "dataset.batch_size=0", "dataset.val_per_class=-1", "trainer.devices=0",
        "stage1.lr=-0.1", "stage1.lr=.inf", "stage2.lr=fast", "stage2.weight_decay=true", "stage1.loss=focal", "+sed=1",
    ],
)  # fmt: skip
def test_a_value_is_refused_with_its_key(composed, override):
    key, value = override.lstrip("+").split("=")
    with pytest.raises(InputError, match=f"{key}=?.*{'' if value in ('true', '1') else value.lstrip('.')}"):
        check_values(composed("dataset=digits_lt", "+experiment=crt", override))


def test_what_may_be_is_taken(composed):
    for words in (["stage1.lr=0", "stage1.max_epochs=0"], ["dataset.if=null"], ["stage2.lr=1", "predictions=float16"]):
        check_values(composed("dataset=digits_lt", "+experiment=crt", *words))


@pytest.mark.parametrize("dataset", ["folder", "list", "table"])
def test_a_folder_that_is_not_named_or_not_there(composed, tmp_path, dataset):
    for root in ('""', f"{tmp_path}/nowhere"):
        with pytest.raises(InputError, match=r"dataset\.root"):
            check_values(composed(f"dataset={dataset}", f"dataset.root={root}"))
    check_values(composed(f"dataset={dataset}", f"dataset.root={tmp_path}"))


def test_the_command_is_ended_before_a_folder_is_made(composed, capsys):
    for words in ("seed=-1", "dataset.if=0.5"):
        cfg = composed("+experiment=cutmix_awabs", words)
        OmegaConf.set_struct(cfg, False)
        cfg.hydra = {}
        with pytest.raises(SystemExit) as end:
            ValueCheck().on_run_start(cfg)
        assert end.value.code == 1
        assert words in capsys.readouterr().err


@pytest.mark.command
def test_the_command_imports_nothing_heavy_and_leaves_no_folder(tmp_path):
    say = "import sys, atexit; atexit.register(lambda: print('torch' in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"{say}; from lt_calib.run import main; main()",
         "+experiment=ce", "dataset=digits_lt", "stage1.max_epochs=-1"],
        cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()[-1]) == (1, "False")
    assert "stage1.max_epochs=-1" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
