"""One training over several processes: what one process would have trained, and how they are started and ended."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from torch.func import functional_call

from lt_calib.errors import InputError
from lt_calib.job.results import read_predictions
from lt_calib.measure.evaluate import evaluate
from lt_calib.run import run
from lt_calib.settings.check import make
from lt_calib.training.processes import quiet
from tests.conftest import SMALL, TINY, built, compose_config, plugins
from tests.gathered import batch, gathered, step

# Nothing is drawn at random but the order of the pictures, which is the same for all processes.
STILL = [*TINY, "+experiment=balanced_softmax", "dataset.if=100", "dataset.batch_size=64", "dataset.padding=0"]
TWO = [*STILL, "stage2=awabs", "stage1.max_epochs=2", "stage2.max_epochs=2"]
VAL = ["dataset.val_per_class=7", "trainer.eval_every=1"]
COUNTS = [50, 20, 5, 2]


def losses() -> dict[str, torch.nn.Module]:
    composed = {name: compose_config("model=resnet32_cosine", f"loss@stage1.loss={name}") for name in plugins("loss")}
    return {name: make(cfg, "stage1.loss", COUNTS, prior=None) for name, cfg in composed.items()}


@pytest.mark.parametrize("world_size", [2, 3])
def test_every_loss_and_its_gradient_are_the_global_batchs(tmp_path, world_size):
    mp.spawn(gathered, (world_size, str(tmp_path), losses()), nprocs=world_size)
    wanted = {(name, soft): step(loss, *batch(soft)) for soft in (False, True) for name, loss in losses().items()}
    for rank in range(world_size):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found.keys() == wanted.keys()
        for key, values in wanted.items():
            for got, value in zip(found[key], values, strict=True):
                torch.testing.assert_close(got, value, rtol=1e-5, atol=1e-7, msg=f"{key} on process {rank}")


def stage1_in_two_pieces(*overrides: str) -> dict[str, torch.Tensor]:
    """The slow twin: one process, each batch cut in two, batch norm by piece, running statistics by the first."""
    stage = built(*overrides).stages[0]
    module, loader = stage.module.train(), stage.data.loader("train", stage.sampler)
    optimizer = module.build_optimizer()
    schedule = module.build_schedule(optimizer, module.max_epochs)
    for epoch in range(module.max_epochs):
        loader.set_epoch(epoch)
        for images, targets in loader:
            first, second = images.tensor_split(2)
            buffers = {name: value.clone() for name, value in module.named_buffers()}
            logits = torch.cat([module(first), functional_call(module, buffers, (second,))])
            optimizer.zero_grad()
            module.loss(logits, targets).backward()
            optimizer.step()
        schedule.step()
    return module.backbone.state_dict()


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """A run of both stages by two processes."""
    folder = tmp_path_factory.mktemp("two")
    run(compose_config(*TWO, *VAL, "trainer=ddp_cpu", "trainer.precision=32-true", "trainer.accelerator=cpu"), folder)
    return folder


def weights(path: Path, part: str) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)[part]


@pytest.mark.slow
def test_a_stage_1_of_two_processes_is_trained_once_and_is_not_that_of_one(tmp_path, caplog):
    shared = [*STILL, "stage1.max_epochs=1", "cache=on", f"cache.root={tmp_path / 'cache'}"]
    ddp = ["trainer=ddp_cpu", "trainer.precision=32-true"]
    caplog.set_level("INFO", "lt_calib")
    run(compose_config(*shared, *ddp), tmp_path / "first")
    run(compose_config(*shared), tmp_path / "one")
    assert "it is taken from the cache" not in caplog.text
    run(compose_config(*shared, *ddp), tmp_path / "second")
    assert "it is taken from the cache" in caplog.text
    first, one, second = (weights(tmp_path / name / "stage1.ckpt", "backbone") for name in ("first", "one", "second"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], one["conv1.weight"])


@pytest.mark.slow
def test_stage_1_is_what_the_pieces_of_each_batch_give(two):
    wanted = stage1_in_two_pieces(*TWO, *VAL)
    got = weights(two / "stage1.ckpt", "backbone")
    for name, value in wanted.items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_stage_2_and_every_metric_are_those_of_one_process(two, tmp_path):
    run(compose_config(*TWO, *VAL, f"stage1.ckpt_path={two / 'stage1.ckpt'}"), tmp_path)
    for name, value in weights(tmp_path / "stage2.ckpt", "classifier").items():
        torch.testing.assert_close(weights(two / "stage2.ckpt", "classifier")[name], value, rtol=1e-4, atol=1e-5)
    one, both = (json.loads((folder / "results.json").read_text()) for folder in (tmp_path, two))
    for stage in ("stage1", "stage2"):
        assert both[stage]["test"] == pytest.approx(one[stage]["test"], abs=1e-4)
    assert "2 processes" in both["environment"]["device"]


def test_what_two_processes_validate_in_pieces_is_what_one_computes(two):
    rows = list(csv.DictReader((two / "history.csv").open()))
    groups = json.loads((two / "results.json").read_text())["dataset"]["groups"]
    # Of stage 2: after stage 1, whose rate never comes down, batch norm's statistics are computed anew.
    logits, targets = read_predictions(two / "predictions.npz")["stage2"]["val"]
    last = [row for row in rows if row["stage"] == "2"][-1]
    for name, value in evaluate(logits, targets, groups, built(*TWO).metrics).items():
        assert float(last[f"val_{name}"]) == pytest.approx(value, abs=1e-6), name


def test_only_the_first_process_writes(two):
    names = {path.name for path in two.iterdir()}
    files = {"config.yaml", "history.csv", "predictions.npz", "results.json", "stage1.ckpt", "stage2.ckpt"}
    assert names == files | {"run.log"}
    assert not torch.distributed.is_initialized()
    assert not {"RANK", "WORLD_SIZE"} & set(os.environ)


@pytest.mark.parametrize(
    ("overrides", "environment", "said"),
    [
        (["trainer.devices=0"], {}, "trainer.devices=0 must be a whole number >= 1"),
        (["trainer=ddp_cpu", "trainer.num_nodes=2"], {}, "one command cannot reach other machines"),
        (
            [],
            {"RANK": "0", "WORLD_SIZE": "2"},
            "2 processes were started, and trainer.devices x trainer.num_nodes is 1",
        ),
        ([], {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "4"}, "4 processes were started"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, monkeypatch, overrides, environment, said):
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(InputError, match=said):
        run(compose_config(*TINY, "+experiment=ce", *overrides), tmp_path)


def test_a_last_batch_with_fewer_images_than_processes_is_refused():
    stage = built(*TINY, "+experiment=ce").stages[0]
    data: Any = stage.data
    data.batch_size = (len(data.targets("train")) - 2) // 3
    with pytest.raises(InputError, match=r"leaves 2 of \d+ images for the last batch, too few for 4 processes"):
        data.loader("train", stage.sampler, world_size=4)


def test_a_process_that_is_not_the_first_does_not_speak(monkeypatch, capsys):
    import logging

    logger = logging.getLogger("lt_calib")
    handler = logging.StreamHandler(sys.stdout)
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    quiet()
    logging.getLogger("lt_calib.run").error("heard")
    assert "heard" not in capsys.readouterr().out


COMMAND = [
    "dataset=digits_lt", "dataset.if=100", "dataset.batch_size=64", "+experiment=cutmix_awabs", "stage2.max_epochs=2",
    "figures=false", "cache=off", "trainer=ddp_cpu", *SMALL,
]  # fmt: skip


def command(*arguments: str, by: tuple[str, ...] = ("-m",)) -> list[str]:
    flags = [argument for argument in arguments if argument.startswith("-")]
    return [sys.executable, *by, "lt_calib.run", *flags, *COMMAND, *(a for a in arguments if a not in flags)]


def answer(folder: Path) -> np.ndarray:
    (path,) = folder.rglob("predictions.npz")
    return np.load(path)["stage2_test_logits"]


@pytest.mark.slow
@pytest.mark.command
def test_plain_multirun_torchrun_and_srun_give_the_same(tmp_path):
    def start(name: str, *arguments: str, by: tuple[str, ...] = ("-m",), env: dict | None = None) -> subprocess.Popen:
        (tmp_path / name).mkdir(exist_ok=True)
        words = ["stage1.max_epochs=2", *arguments]
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | (env or {})
        return subprocess.Popen(command(*words, by=by), cwd=tmp_path / name, env=environment, stdin=subprocess.DEVNULL)

    assert start("plain").wait(300) == 0
    assert start("multirun", "-m", "seed=0,1").wait(500) == 0
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m")
    assert start("torchrun", by=torchrun).wait(300) == 0
    slurm = {
        "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NODEID": "0",
        "SLURM_NNODES": "1", "SLURM_JOB_ID": str(10000 + os.getpid() % 10000), "SLURM_JOB_NAME": "lt_calib",
        "SLURM_JOB_NODELIST": "127.0.0.1", "MASTER_ADDR": "127.0.0.1",
    }  # fmt: skip
    tasks = [start("srun", env=slurm | {"SLURM_PROCID": r, "SLURM_LOCALID": r}) for r in ("0", "1")]
    assert [task.wait(300) for task in tasks] == [0, 0]
    plain = answer(tmp_path / "plain")
    assert np.isfinite(plain).all()
    for name in ("multirun/outputs/digits_lt_if100/cutmix_awabs", "torchrun", "srun"):
        folder = tmp_path / name
        (where,) = [p.parent for p in folder.rglob("predictions.npz") if "seed0" in str(p)]
        assert np.array_equal(answer(where), plain), name
    assert len(list((tmp_path / "multirun").rglob("results.json"))) == 2


@pytest.mark.slow
@pytest.mark.command
@pytest.mark.parametrize("how", ["first killed", "other killed", "told to end"])
def test_two_processes_that_were_ended_go_on(tmp_path, how):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    words = command("stage1.max_epochs=40")
    (tmp_path / "whole").mkdir()
    subprocess.run(words, cwd=tmp_path / "whole", env=environment, check=True, timeout=400, capture_output=True)
    broken = tmp_path / "broken"
    broken.mkdir()
    first = subprocess.Popen(words, cwd=broken, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while not list(broken.rglob("stage1.part.ckpt")):
        time.sleep(0.05)
        assert first.poll() is None
    children = subprocess.run(["pgrep", "-P", str(first.pid), "-f", "spawn_main"], capture_output=True, text=True)
    others = children.stdout.split()
    assert len(others) == 2
    if how == "other killed":
        os.kill(int(others[1]), signal.SIGKILL)
    else:
        first.send_signal(signal.SIGKILL if how == "first killed" else signal.SIGTERM)
    said = first.communicate(timeout=60)[0].decode()
    assert first.returncode == {"first killed": -9, "other killed": 1, "told to end": 143}[how]
    if how == "other killed":
        assert re.search(r"process [01] of 2 ended with exit code -\d+, and the training with it", said), said
        assert "Traceback" not in said
    for _ in range(100):  # none is left behind
        left = [other for other in others if Path(f"/proc/{other}").exists()]
        if not left:
            break
        time.sleep(0.1)
    assert not left
    assert list(broken.rglob("stage1.part.ckpt"))
    subprocess.run(words, cwd=broken, env=environment, check=True, timeout=400, capture_output=True)
    assert np.array_equal(answer(broken), answer(tmp_path / "whole"))


@pytest.mark.slow
def test_a_grid_by_two_processes_is_that_of_one(two, tmp_path):
    grid = ["+grid=eps", "grid.eps_head=[0.2,0.4]", "grid.eps_tail=[0.0]", "+grid.weight_decay=[0.0002,1e25]"]
    grid += [f"stage1.ckpt_path={two / 'stage1.ckpt'}"]
    ddp = ["trainer=ddp_cpu", "trainer.precision=32-true", "trainer.accelerator=cpu"]
    run(compose_config(*TWO, *VAL, *grid), tmp_path / "one")
    run(compose_config(*TWO, *VAL, *grid, *ddp), tmp_path / "two")
    one, both = (json.loads((tmp_path / n / "grid.json").read_text())["points"] for n in ("one", "two"))
    assert len(one) == len(both)
    for a, b in zip(one, both, strict=True):
        assert a["settings"] == b["settings"]
        assert ("diverged" in a) == ("diverged" in b) == (a["settings"]["weight_decay"] == 1e25)
        if "diverged" not in a:
            assert b["test"] == pytest.approx(a["test"], abs=1e-4)
