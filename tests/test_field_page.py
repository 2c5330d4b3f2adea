"""The commands of docs/field.md, in their order, on the embedded data in the place of CIFAR's features."""

import json
import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest

from lt_calib.run import run
from tests.conftest import compose_config

PAGE = Path(__file__).parents[1] / "docs" / "field.md"
RUN = [
    "+experiment=frozen_awabs", "dataset=digits_features_lt", "dataset.val_per_class=10", "posthoc=select",
    "stage1.max_epochs=4", "stage2.max_epochs=2", "trainer.accelerator=cpu", "figures=false", "cache=off",
]  # fmt: skip


def commands() -> list[list[str]]:
    """All commands of the page but those that train."""
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.startswith("python")]
    return [shlex.split(line, comments=True) for line in lines if "lt_calib.run" not in line]


def test_every_command_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("run", "run1")):
        run(compose_config(*RUN, f"seed={seed}"), tmp_path / name)
    draws = np.random.RandomState(0)
    np.save("field.npy", draws.rand(60, 64).astype(np.float32))
    np.save("unknown.npy", draws.rand(40, 64).astype(np.float32))
    names = json.loads((tmp_path / "run" / "results.json").read_text())["dataset"]["class_names"]
    costs = [",".join(["true", *names])] + [",".join([a, *("5" if a != b else "0" for b in names)]) for a in names]
    (tmp_path / "costs.csv").write_text("\n".join(costs))
    words = commands()
    assert len({command[2] for command in words}) >= 5  # of as many modules
    for _, _, module, *arguments in words:
        monkeypatch.setattr("sys.argv", [module, *arguments])
        capsys.readouterr()
        try:
            runpy.run_module(module, run_name="__main__")
        except SystemExit as end:
            if end.code not in (None, 0):
                pytest.fail(f"{module} {' '.join(arguments)}: {end.code}")
        said = capsys.readouterr().out
        assert said
        assert all(len(line) <= 80 for line in said.splitlines()), (module, said)
