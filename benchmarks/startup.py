"""From the command to the first training step on the embedded data, beside the bare imports; and --help."""

import statistics
import subprocess
import sys
import tempfile
import time

REPEATS = 5
IMPORTS = "import torch, lightning, torchvision, torchmetrics"
FIRST_STEP = """
import os, sys
import lt_calib.run
sys.argv = ["lt_calib", "+experiment=cutmix_awabs", "dataset=digits_lt", "cache=off", "hydra.run.dir=" + sys.argv[1]]
import builtins
whole = builtins.__import__
def watch(name, *rest):
    module = whole(name, *rest)
    stage = sys.modules.get("lt_calib.stage.base")
    if hasattr(stage, "StageModule"):
        builtins.__import__ = whole
        stage.StageModule.training_step = lambda *arguments: os._exit(7)
    return module
builtins.__import__ = watch
lt_calib.run.main()
"""


def seconds(*arguments: str, code: int = 0) -> float:
    """Run Python and measure until it ends, with this exit code."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], check=False, capture_output=True, text=True)
    taken = time.perf_counter() - start
    if done.returncode != code:
        raise SystemExit(f"{arguments} ended with {done.returncode} and not {code}:\n{done.stderr}")
    return taken


def main() -> None:
    """Measure in turns and print medians."""
    rows: dict[str, list[float]] = {"bare imports": [], "first step": [], "--help": [], "a typo": []}
    for _ in range(REPEATS):
        rows["bare imports"].append(seconds("-c", IMPORTS))
        with tempfile.TemporaryDirectory() as folder:
            rows["first step"].append(seconds("-c", FIRST_STEP, f"{folder}/run", code=7))  # else it was never reached
        rows["--help"].append(seconds("-m", "lt_calib.run", "--help"))
        rows["a typo"].append(seconds("-m", "lt_calib.run", "stage1.max_epoch=1", code=1))
    for name, values in rows.items():
        print(f"{name:14} {statistics.median(values):6.2f} s   ({', '.join(f'{v:.2f}' for v in values)})")
    extra = statistics.median(a - b for a, b in zip(rows["first step"], rows["bare imports"], strict=True))
    print(f"first step - bare imports: {extra:.2f} s   (<= 2)")


if __name__ == "__main__":
    main()
