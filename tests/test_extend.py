"""One code file, one yaml, one test file, and no edit anywhere else: a copy of the package gets one part of each kind.

The whole contract is then run there. Slow: make test-all.
"""

import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import CONF

TOP = CONF.parent
CODE = {
    "loss/poly1": (
        "import torch\nfrom lt_calib.loss.cross_entropy import CrossEntropy\n\n\nclass Poly1(CrossEntropy):\n"
        "    def losses(self, logits):\n        return super().losses(logits) + 1 - torch.softmax(logits, dim=1)\n"
    ),
    "augment/remixed": (
        "from lt_calib.augment.mixup import Mixup\n\n\nclass Remixed(Mixup):\n    moves_labels = True\n"
    ),
    "sampler/twice": (
        "from lt_calib.sampler.class_balanced import ClassBalanced\n\n\nclass Twice(ClassBalanced):\n    pass\n"
    ),
    "metric/median": (
        "from lt_calib.measure.check import check_probs\n\n\ndef median_confidence(probs, targets):\n"
        "    check_probs(probs.float(), targets)\n    return probs.max(dim=1).values.median()\n"
    ),
    "model/flat": (
        "from torch import nn\n\n\nclass Flat(nn.Module):\n    num_features = 3\n\n    def forward(self, images):\n"
        "        return images.mean(dim=(2, 3))\n"
    ),
    "posthoc/hot": "from lt_calib.posthoc.temperature import Temperature\n\n\nclass Hot(Temperature):\n    pass\n",
    "transform/strong": "from lt_calib.transform.normalize import Normalize\n\n\nclass Strong(Normalize):\n    pass\n",
}
YAML = {
    "loss/poly1": "_target_: lt_calib.loss.poly1.Poly1\n_partial_: true\n",
    "augment/remixed": "_target_: lt_calib.augment.remixed.Remixed\n",
    "sampler/twice": "_target_: lt_calib.sampler.twice.Twice\n_partial_: true\n",
    "metric/median": "median:\n  _target_: lt_calib.metric.median.median_confidence\n  _partial_: true\n",
    "model/flat": (
        "backbone:\n  _target_: lt_calib.model.flat.Flat\nclassifier:\n  _target_: lt_calib.model.classifier.Linear\n"
        "  _partial_: true\n"
    ),
    "posthoc/hot": "_target_: lt_calib.posthoc.hot.Hot\n_partial_: true\n",
    "transform/strong": ("_target_: lt_calib.transform.strong.Strong\nmean: ${dataset.mean}\nstd: ${dataset.std}\n"),
    "optimizer/rmsprop": "_target_: torch.optim.RMSprop\n_partial_: true\n",
    "stage1/mine": "defaults:\n  - representation\n  - _self_\nweight_decay: 1.0e-4\n",
    "experiment/flat": (
        "# @package _global_\n# A flat network.\n# python -m lt_calib.run +experiment=flat dataset=cifar10_lt\n"
        "defaults:\n  - override /model: flat\n\nexperiment: flat\n"
    ),
    "dataset/few_lt": "# Few digits.\ndefaults:\n  - digits_lt\n  - _self_\nname: few_lt\n",
}
TESTS = "def test_it():\n    assert True\n"
CONTRACT = [
    "tests/test_common.py", "tests/test_conf.py", "tests/test_traps.py", "tests/test_run.py", "tests/settings",
    "tests/metric/test_every_metric.py", "tests/posthoc/test_every_calibrator.py", "tests/report/test_tables.py",
    "tests/test_exports.py",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.command
def test_a_part_of_each_kind_needs_no_edit_elsewhere(tmp_path):
    for name in ("src", "conf", "tests", "results", "tools"):
        shutil.copytree(TOP / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TOP / "pyproject.toml", tmp_path)
    for name, text in CODE.items():
        (tmp_path / "src" / "lt_calib" / f"{name}.py").write_text(text)
        room, stem = name.split("/")
        (tmp_path / "tests" / room).mkdir(exist_ok=True)
        (tmp_path / "tests" / room / f"test_{stem}.py").write_text(TESTS)
    for name, text in YAML.items():
        (tmp_path / "conf" / f"{name}.yaml").write_text(text)
    environment = os.environ | {"PYTHONPATH": f"{tmp_path / 'src'}{os.pathsep}{tmp_path}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not slow and not command", *CONTRACT], cwd=tmp_path,
        env=environment, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
