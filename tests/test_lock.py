import errno
import subprocess
import sys

import pytest

from lt_calib.errors import InputError
from lt_calib.files.lock import alone_in, system_lock
from lt_calib.run import job
from tests.conftest import TINY, compose_config, in_hydra

HOLD = "import sys, time; from pathlib import Path; from lt_calib.files.lock import alone_in\n"
HOLD += "with alone_in(Path(sys.argv[1])): print(flush=True); time.sleep(100)"


def test_one_process_at_a_time_and_a_killed_one_keeps_nobody_out(tmp_path, monkeypatch):
    in_hydra(monkeypatch, tmp_path)
    monkeypatch.setattr("lt_calib.run.run", lambda cfg, folder: {"stage1": {}, "stage2": None})
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    with pytest.raises(Exception, match=r"another process is at work in .*let it end, or set another folder"):
        job(compose_config(*TINY))
    assert not (tmp_path / "error.txt").exists()  # the folder is the other's
    other.kill()
    other.wait()
    job(compose_config(*TINY))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="has no flock")
def test_a_file_system_without_locks_gets_no_marker_that_stays(tmp_path, monkeypatch):
    def refuse(*how):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    with alone_in(tmp_path), alone_in(tmp_path):
        pass
    with pytest.raises(OSError, match="not implemented"):
        system_lock(tmp_path / "key.lock").acquire(timeout=0)


def test_what_fails_inside_is_passed_on(tmp_path):
    with pytest.raises(InputError, match="inside"), alone_in(tmp_path):
        raise InputError("inside")
    with alone_in(tmp_path):
        pass
