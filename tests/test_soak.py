"""200 short jobs in one process: memory and open files stay where they are. Slow: make test-all."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import SMALL

JOBS = 200
SHORT = [
    "-m", "+experiment=cutmix_awabs", "dataset=digits_lt", "dataset.if=100", "dataset.val_per_class=5",
    "posthoc=temperature", "stage1.max_epochs=1", "stage2.max_epochs=1", "trainer.accelerator=cpu", "cache=off",
    "figures=false", *SMALL,
]  # fmt: skip


def now(pid: int) -> dict[str, float]:
    """Resident megabytes, open files and threads of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        "mb": int(status["VmRSS"].split()[0]) / 1024,
        "files": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(status["Threads"]),
    }


@pytest.mark.slow
@pytest.mark.command
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads /proc")
def test_two_hundred_jobs_in_one_process(tmp_path):
    command = [sys.executable, "-m", "lt_calib.run", *SHORT, f"seed=range({JOBS})"]
    with (tmp_path / "log").open("w") as log:
        sweep = subprocess.Popen(
            command, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=log, stderr=subprocess.STDOUT
        )
    seen: dict[int, dict[str, float]] = {}
    while sweep.poll() is None:
        done = len(list(tmp_path.glob("outputs/*/*/*/results.json")))
        if done and done % 10 == 0 and done not in seen:
            try:
                seen[done] = now(sweep.pid)
            except FileNotFoundError:  # it has just ended
                break
        time.sleep(0.1)
    assert sweep.wait() == 0, (tmp_path / "log").read_text()[-3000:]
    assert len(list(tmp_path.rglob("results.json"))) == JOBS
    rows = [f"{n:4d} {v['mb']:7.0f} MB {v['files']:4.0f} files {v['threads']:4.0f} threads" for n, v in seen.items()]
    table = "\n".join(rows)
    (tmp_path.parent / "soak.txt").write_text(table + "\n")
    assert max(seen) >= JOBS - 10
    # A reading falls into any moment of a job, which moves the memory by a tenth: medians tell a growth from that.
    first, last = (
        {key: statistics.median(v[key] for v in part) for key in ("mb", "files", "threads")}
        for part in (list(seen.values())[:5], list(seen.values())[-5:])
    )
    assert last["files"] <= first["files"] + 2, table
    assert last["threads"] <= first["threads"] + 2, table
    assert last["mb"] <= 1.1 * first["mb"], table
