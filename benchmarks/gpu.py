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
        seconds, speed = results["stage1"]["seconds"], results["stage1"]["images_per_second"]
        later = 199 * sum(results["dataset"]["class_counts"]) / speed
        print(
            f"{name}: 200 epochs in {seconds:.1f} s   (<= {limit} on an H200); of these the first, which warms up and "
            f"compiles, {seconds - later:.1f} s, and each later one {later / 199:.3f} s"
        )


if __name__ == "__main__":
    main()
