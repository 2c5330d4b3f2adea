import subprocess
import sys
import zipfile

import pytest

from tests.conftest import CONF

TOP = CONF.parent


@pytest.mark.command
def test_an_installed_wheel_finds_its_configuration(tmp_path):
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(TOP),
    ]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    site = tmp_path / "site"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    assert (site / "lt_calib" / "py.typed").is_file()
    given = sorted(p.relative_to(CONF) for p in CONF.rglob("*.yaml"))
    assert given == sorted(p.relative_to(site / "lt_calib/conf") for p in (site / "lt_calib/conf").rglob("*.yaml"))
    code = "import lt_calib.run as r; print(r.__file__); r.main()"
    command = [sys.executable, "-c", code, "+experiment=cutmix_awabs", "--cfg", "job"]
    environment = {"PYTHONPATH": str(site), "PATH": ""}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert str(site) in done.stdout
    assert "experiment: cutmix_awabs" in done.stdout
