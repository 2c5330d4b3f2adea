"""On a GPU: 200 epochs of CIFAR-10-LT's size at batch 128, eager and compiled. Without one it says so."""

import contextlib
import io

import torch

import benchmarks.job as job
from benchmarks.job import configuration, run

LIMITS = {False: 90, True: 25}  # seconds, on an H200-class device


def main() -> None:
    """Measure stage 1's 200 epochs."""
    if not torch.cuda.is_available():
        print("no GPU here: 200 epochs eager and compiled are not measured")
        return
    job.A_CLASS, job.TEST = 5000, 10000
    for compiled, limit in LIMITS.items():
        settings = ["dataset.if=100", "stage1.max_epochs=200", "stage2.max_epochs=0", "trainer=gpu"]
        with contextlib.redirect_stdout(io.StringIO()):
            results = run(configuration(*settings, f"trainer.compile={str(compiled).lower()}"))
        name = f"{torch.cuda.get_device_name()}, {'compiled' if compiled else 'eager'}"
        print(f"{name}: 200 epochs in {results['stage1']['seconds']:.1f} s   (<= {limit} on an H200)")


if __name__ == "__main__":
    main()
