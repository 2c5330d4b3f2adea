import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
import wandb
from PIL import Image

from lt_calib.errors import InputError
from lt_calib.logger.wandb import WandbLogger, accepted
from tests.conftest import TINY

SERVICE = Path(__file__).with_name("service.py")
CONFIG = {"name": "n", "seed": 0, "dataset": {"name": "digits_lt", "if": 10}}
STAGE = {"test": {"acc": 0.5, "acc_tail": None}, "test_per_class": {"count": [5, 5], "acc": [0.25, 0.75]}}
RESULTS: dict[str, Any] = {
    "name": "n", "dataset": {"class_counts": [10, 1]}, "stage1": STAGE, "stage2": STAGE,
    "calibrated": {"stage1": {"test": {"nll": 1.25}}, "stage2": {"test": {"nll": 1.5}}},
}  # fmt: skip


@pytest.fixture
def no_account(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("builtins.input", lambda *a: pytest.fail("prompted"))


def inspect(folder: Path) -> dict[str, Any]:
    """What wandb itself reads back from an offline run."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if "No such" in done.stderr:
        pytest.skip("this version of wandb cannot read an offline run back")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.usefixtures("no_account")
def test_without_an_account_it_is_offline_and_everything_is_there(tmp_path, caplog):
    folder = tmp_path / "run"
    with caplog.at_level("INFO", "lt_calib"):
        logger = WandbLogger(config=CONFIG, folder=folder, group="g", tags=["a"])
    assert "wandb sync" in caplog.text
    for epoch, loss, acc in ((1, 1.0, 0.75), (2, 2.0, 0.5)):
        logger.log_epoch({"stage": 1, "epoch": epoch, "loss": loss, "val_acc": acc})
    picture, checkpoint = tmp_path / "figure.png", tmp_path / "stage1.ckpt"
    Image.new("RGB", (4, 4)).save(picture)
    torch.save({}, checkpoint)
    logger.log_results(RESULTS, [picture], {"stage1": checkpoint, "stage2": checkpoint})
    logger.finish(0)
    where = Path(caplog.text.split("wandb sync ")[1].splitlines()[0])
    found = inspect(where)
    summary = found["summary"]
    assert summary["stage1/loss"] == {"last": 2, "min": 1}
    assert summary["stage1/val/acc"] == {"last": 0.5, "max": 0.75}
    assert summary["stage1/test/acc"] == 0.5
    assert summary["stage2/calibrated/nll"] == 1.5
    assert "stage1/test/acc_tail" not in summary
    assert (summary["stage2/classes"]["nrows"], summary["stage2/classes"]["ncols"]) == (2, 4)
    assert summary["figures/figure"]["_type"] == "image-file"
    assert found["config"]["stage1_checkpoint"]["sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    content = next(where.glob("*.wandb")).read_bytes()
    assert b"n-stage1-" in content
    assert b"n-stage2-" in content


@pytest.mark.usefixtures("no_account")
def test_a_job_that_is_started_again_goes_on_in_its_own_run(tmp_path):
    ids = []
    for folder in ("a", "a", "b", "b"):
        if folder == "b":  # as a crash of the machine may leave it
            (tmp_path / "b").mkdir(exist_ok=True)
            (tmp_path / "b" / "wandb_id.txt").write_text("")
        logger = WandbLogger(config=CONFIG, folder=tmp_path / folder, group="g", tags=[])
        ids.append(logger._run.id)
        logger.finish(1)
    assert ids[0] == ids[1]
    assert len({*ids}) == 3
    assert "" not in ids


class Fake:
    """In place of wandb: what init is asked for."""

    class errors:
        class CommError(Exception): ...

        class UsageError(Exception): ...

    class util:
        @staticmethod
        def generate_id() -> str:
            return "abc"

    def __init__(self, fails: bool = False) -> None:
        self.asked: list[dict[str, Any]] = []
        self.fails = fails
        self.dir = "offline-run/files"

    def Settings(self, **kwargs: Any) -> dict[str, Any]:
        return kwargs

    def init(self, **kwargs: Any) -> Any:
        self.asked.append(kwargs)
        if self.fails and kwargs["mode"] == "online":
            raise self.errors.CommError("no answer\nmore")
        return self

    def define_metric(self, *args: Any, **kwargs: Any) -> None: ...

    def teardown(self, exit_code: int) -> None: ...


@pytest.mark.usefixtures("no_account")
@pytest.mark.parametrize(
    ("environment", "fails", "modes"),
    [
        ({}, False, ["offline"]),
        ({"WANDB_API_KEY": "k"}, False, ["online"]),
        ({"WANDB_API_KEY": "k"}, True, ["online", "offline"]),
        ({"WANDB_API_KEY": "k", "WANDB_MODE": "offline"}, False, ["offline"]),
        ({"WANDB_MODE": "disabled"}, False, ["disabled"]),
    ],
)
def test_how_it_starts(tmp_path, monkeypatch, caplog, environment, fails, modes):
    fake = Fake(fails)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level("INFO", "lt_calib"):
        WandbLogger(config=CONFIG, folder=tmp_path, group="g", tags=["t"])
    assert [asked["mode"] for asked in fake.asked] == modes
    assert fake.asked[-1]["group"] == "g"
    assert fake.asked[-1]["tags"] == ["t"]
    assert fake.asked[-1]["settings"]["init_timeout"] == 20
    assert ("W&B does not answer (no answer)" in caplog.text) == fails


@pytest.mark.usefixtures("no_account")
def test_what_w_and_b_raises_in_the_middle_is_said_once_and_ends_nothing(tmp_path, monkeypatch, caplog):
    fake = Fake()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    logged = []

    def log(values: dict[str, Any]) -> None:
        logged.append(values)
        if len(logged) > 1:
            raise fake.errors.CommError("permission denied: the key is no longer valid\nmore")

    monkeypatch.setattr(fake, "log", log, raising=False)
    monkeypatch.setattr(fake, "finish", lambda **how: pytest.fail("it was lost"), raising=False)
    logger = WandbLogger(config=CONFIG, folder=tmp_path, group="g", tags=[])
    taken = [logger.log_epoch({"stage": 1, "epoch": epoch, "loss": 1.0}) for epoch in (1, 2, 3)]
    assert taken == [True, False, False]
    logger.log_results(RESULTS, [], {})
    logger.finish(0)
    assert len(logged) == 2
    assert caplog.text.count("takes nothing any more (CommError: permission denied: the key is no longer valid)") == 1


ODD = [
    "CutMix (mine)", "CutMix [mine]", "a/b", "a\\b", "a:b", "100 %", "Größe", "x" * 300, "x" * 301,
    "", " ", "a\n", "\udcff",
]  # fmt: skip


class Taking(Fake):
    """Takes results too."""

    id = "abcdefabcdef"
    summary: ClassVar[dict[str, Any]] = {}
    config = SimpleNamespace(update=lambda *a, **k: None)

    def __init__(self) -> None:
        super().__init__()
        self.artifacts: list[str] = []

    def log(self, values: dict[str, Any]) -> None: ...

    def log_artifact(self, artifact: Any) -> None: ...

    def Table(self, **content: Any) -> None: ...

    def Artifact(self, name: str, **about: Any) -> Any:
        self.artifacts.append(name)
        return wandb.Artifact(name, **about)


@pytest.mark.usefixtures("no_account")
@pytest.mark.parametrize("name", ODD)
def test_a_name_that_the_service_refuses_becomes_one_that_it_takes(tmp_path, monkeypatch, name):
    """By the service's own rules: artifacts [A-Za-z0-9_.-]{1,128}, projects without /\\#?%:, tags of 1 to 64."""
    fake = Taking()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    config = CONFIG | {"name": name, "dataset": {"name": name, "if": 10}}
    checkpoint = tmp_path / "stage1.ckpt"
    checkpoint.write_bytes(b"weights")
    logger = WandbLogger(config=config, folder=tmp_path, group=name, tags=[name], project=name)
    logger.log_results(RESULTS | {"name": name}, [], {"stage1": checkpoint, "stage2": checkpoint})
    (asked,) = fake.asked
    assert re.fullmatch(r"[^/\\#?%:\n]{1,128}", asked["project"])
    assert 1 <= len(asked["tags"][0]) <= 64
    assert all(1 <= len(asked[key].encode()) <= 128 for key in ("name", "group"))
    assert len(fake.artifacts) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", artifact) for artifact in fake.artifacts)


def test_names_that_differ_stay_different_and_good_ones_as_they_are():
    for kind, limit in (("artifact", 100), ("project", 128), ("text", 64)):
        assert len({accepted(name, kind, limit) for name in ODD}) == len(ODD)
        for name in ("cutmix_awabs", "v1.2-b", "x" * limit):
            assert accepted(name, kind, limit) == name
    assert accepted("Größe (2)") == "Größe (2)"
    assert re.fullmatch("CutMix-mine-[0-9a-f]{8}", accepted("CutMix (mine)", "artifact"))


@pytest.mark.skipif(shutil.which("pgrep") is None, reason="pgrep finds wandb's process")
@pytest.mark.usefixtures("no_account")
def test_wandbs_own_process_may_die_and_the_next_job_has_another(tmp_path, caplog):
    def job(folder: Path, dies: bool) -> None:
        logger = WandbLogger(config=CONFIG, folder=folder, group="g", tags=[])
        logger.log_epoch({"stage": 1, "epoch": 1, "loss": 1.0})
        if dies:
            children = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "wandb"], capture_output=True, text=True)
            for child in map(int, children.stdout.split()):
                os.kill(child, signal.SIGKILL)
            time.sleep(1)
        for epoch in (2, 3, 4):
            logger.log_epoch({"stage": 1, "epoch": epoch, "loss": 1.0})
            time.sleep(0.2)
        logger.finish(0)

    job(tmp_path / "a", dies=True)
    assert caplog.text.count("W&B takes nothing any more") == 1
    job(tmp_path / "b", dies=False)
    assert caplog.text.count("W&B takes nothing any more") == 1


@pytest.mark.slow
@pytest.mark.command
@pytest.mark.parametrize("how", ["dies", "denies", "hangs"])
def test_a_service_that_fails_in_the_middle_of_a_run_ends_nothing(tmp_path, how):
    """The real wandb, online, at a service that lets the run begin and then answers no more."""
    service = subprocess.Popen([sys.executable, str(SERVICE), how], stdout=subprocess.PIPE, text=True)
    assert service.stdout is not None
    environment = os.environ | {
        "WANDB_BASE_URL": f"http://127.0.0.1:{service.stdout.readline().strip()}",
        "WANDB_API_KEY": "0" * 40,
        "WANDB_MODE": "online",
        "OMP_NUM_THREADS": "1",
    }
    job = [*TINY, "+experiment=cutmix_awabs", "logger=wandb", f"hydra.run.dir={tmp_path}/run"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "lt_calib.run", *job],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    finally:
        service.kill()
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert text.count("W&B takes nothing any more") == 1, text
    assert "lt_calib/" not in text, text  # no traceback through the package; a thread of wandb's may print its own
    assert json.loads((tmp_path / "run" / "results.json").read_text())["stage2"]


@pytest.mark.usefixtures("no_account")
def test_its_end_is_not_waited_for_without_limit(tmp_path):
    logger = WandbLogger(config=CONFIG, folder=tmp_path, group="g", tags=[])
    if hasattr(logger._run.settings, "finish_timeout"):
        assert logger._run.settings.finish_timeout == 120
    logger.finish(0)


def test_not_installed(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"lt_calib\[wandb\]"):
        WandbLogger(config=CONFIG, folder=tmp_path, group="g", tags=[])
