"""SIGKILLs over both stages, while files are written too, and while workers read images. Slow: make test-all."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import SMALL
from tests.training.test_resume import what_a_run_gave

KILLS = 20
COMMAND = [
    sys.executable, "-m", "lt_calib.run", "+experiment=cutmix_awabs", "dataset=digits_lt", "dataset.if=100",
    "dataset.batch_size=64", "stage1.max_epochs=16", "stage1.lr=0.01", "stage2.max_epochs=60", "figures=false",
    "cache=off", "trainer.precision=32-true", "trainer.accelerator=cpu", *SMALL,
]  # fmt: skip


def kept(folder: Path) -> set[tuple[str, int]]:
    return {(p.name, p.stat().st_mtime_ns) for p in folder.glob("stage?.part.ckpt") if p.exists()}


def kill_at_random(process: subprocess.Popen, folder: Path, draws: random.Random, writing: bool) -> bool:
    """Kill after 0 to 3 more epochs and a random moment, or as soon as a file is being written; tell whether it did."""
    epochs, last = draws.randrange(4), time.perf_counter()
    between, known = 2.0, kept(folder)
    while epochs:
        if process.poll() is not None:
            return False
        if (now := kept(folder)) != known:
            known, epochs, between, last = now, epochs - 1, time.perf_counter() - last, time.perf_counter()
        time.sleep(0.001)
    if writing:
        while not list(folder.glob(f"*.{process.pid}.part")):
            if process.poll() is not None:
                return False
    else:
        time.sleep(draws.uniform(0, min(between, 5)))
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def start_in(folder: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*arguments, f"hydra.run.dir={folder}"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.slow
@pytest.mark.command
def test_twenty_kills_and_the_same_weights(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def start(folder: Path) -> subprocess.Popen:
        return start_in(folder, *COMMAND)

    assert start(whole).wait() == 0
    draws, kills, seen, torn = random.Random(0), 0, set(), 0
    while kills < KILLS:
        assert kill_at_random(start(killed), killed, draws, writing=kills % 2 == 1), f"it ended after {kills} kills"
        kills += 1
        seen |= {path.name for path in killed.glob("stage?.part.ckpt")}
        torn += bool(list(killed.glob("*.part")))
    assert start(killed).wait() == 0
    assert seen == {"stage1.part.ckpt", "stage2.part.ckpt"}  # kills in both stages
    assert torn > 0  # and while writing
    assert what_a_run_gave(killed) == what_a_run_gave(whole)
    assert not list(killed.glob("*.part*"))


@pytest.mark.slow
@pytest.mark.command
def test_kills_while_workers_read_images_and_the_same_weights(tmp_path):
    rng = np.random.default_rng(0)
    for split, counts in {"train": (60, 30, 6), "test": (4, 4, 4)}.items():
        for c, n in enumerate(counts):
            below = tmp_path / "images" / split / str(c)
            below.mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 100, (5, 6, 3), dtype=np.uint8) + np.uint8(70 * c)
                Image.fromarray(pixels).resize((90, 70 + i), Image.Resampling.BICUBIC).save(below / f"{i}.jpg")
    command = [
        sys.executable, "-m", "lt_calib.run", "+experiment=mislas", "dataset=folder", "dataset.size=16",
        f"dataset.root={tmp_path / 'images'}", "dataset.resident_below=0", "dataset.num_workers=2",
        f"dataset.remember_in={tmp_path / 'remembered'}", "transform=resized_crop", "stage1.max_epochs=10",
        "stage1.lr=0.01", "stage2.max_epochs=10", "figures=false", "cache=off", "trainer.precision=32-true",
        "trainer.accelerator=cpu", *SMALL,
    ]  # fmt: skip
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start_in(whole, *command).wait() == 0
    draws, seen = random.Random(0), set()
    for kills in range(3):
        process = start_in(killed, *command)
        assert kill_at_random(process, killed, draws, writing=False), f"it ended after {kills} kills"
        seen |= {path.name for path in killed.glob("stage?.part.ckpt")}
    # Another number of workers, and none of the killed process's keeps the folder.
    assert start_in(killed, *command, "dataset.num_workers=1").wait() == 0
    assert seen
    assert what_a_run_gave(killed) == what_a_run_gave(whole)
