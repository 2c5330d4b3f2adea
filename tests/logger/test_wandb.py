import sys
from pathlib import Path

import pytest
from PIL import Image

from lt_calib.errors import InputError
from lt_calib.logger.wandb import WandbLogger

CONFIG = {"name": "n", "seed": 0, "dataset": {"name": "digits_lt", "if": 10}}


@pytest.fixture
def no_account(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("no_account")
def test_without_an_account_it_is_offline_and_says_how_to_upload(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *a: pytest.fail("prompted"))
    with caplog.at_level("INFO", "lt_calib"):
        logger = WandbLogger(config=CONFIG, folder=tmp_path / "run", group="g", tags=["a"])
    assert "wandb sync" in caplog.text
    logger.log_epoch({"stage": 1, "epoch": 1, "loss": 2.0, "val_acc": 0.5})
    picture = tmp_path / "figure.png"
    Image.new("RGB", (4, 4)).save(picture)
    logger.log_results({"stage1": {"test": {"acc": 0.5, "acc_tail": None}}, "stage2": None}, [picture])
    logger.finish(0)
    folder = Path(caplog.text.split("wandb sync ")[1].strip())
    content = next(folder.glob("*.wandb")).read_bytes()
    for key in (b"stage1/loss", b"stage1/val/acc", b"stage1/test/acc", b"figures/figure"):
        assert key in content
    assert b"acc_tail" not in content


def test_not_installed(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match="pip install wandb"):
        WandbLogger(config=CONFIG, folder=tmp_path, group="g", tags=[])
