"""What a command prints may be read in part: ``report results | head -1``."""

import subprocess
import sys
from pathlib import Path

import pytest

import lt_calib

COMMAND = """
import sys
from lt_calib.closed_pipe import outlive_reader
outlive_reader()
print("first", flush=True)
sys.stdin.readline()  # until the reader has left
for _ in range(20000):
    print("more")
    print("more", file=sys.stderr)
open(sys.argv[1], "w").write("done")
"""


@pytest.mark.parametrize("flags", [[], ["-u"]])
def test_a_command_goes_on_to_its_end_when_its_reader_leaves(tmp_path, flags):
    command = [sys.executable, *flags, "-c", COMMAND, str(tmp_path / "file")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "first\n"
        process.stdout.close()
        process.stderr.close()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait(30) == 0
    assert (tmp_path / "file").read_text() == "done"


def test_every_command_does():
    mains = [p for p in Path(lt_calib.__file__).parent.rglob("*.py") if "\ndef main() -> None:\n" in p.read_text()]
    assert len(mains) >= 8
    for path in mains:
        body = path.read_text().split("\ndef main() -> None:\n")[1]
        assert body.splitlines()[1] == "    outlive_reader()", path
