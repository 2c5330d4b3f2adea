"""On a GPU: epochs of CIFAR-10-LT's size at batch 128, eager and compiled. Without one it says so."""

import argparse
import contextlib
import io

import torch

import benchmarks.job as job
from benchmarks.job import configuration, run

LIMITS = {False: 90, True: 25}  # seconds, on an H200-class device


def main() -> None:
    """Measure stage 1's epochs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("--epochs", type=int, default=200, help=">= 2; the limits are those of 200")
    epochs = parser.parse_args().epochs
    if not torch.cuda.is_available():
        print(f"no GPU here: {epochs} epochs eager and compiled are not measured")
        return
    job.A_CLASS, job.TEST = 5000, 10000
    for compiled, limit in LIMITS.items():
        settings = ["dataset.if=100", f"stage1.max_epochs={epochs}", "stage2.max_epochs=0", "trainer=gpu"]
        with contextlib.redirect_stdout(io.StringIO()):
            results = run(configuration(*settings, f"trainer.compile={str(compiled).lower()}"))
        name = f"{torch.cuda.get_device_name()}, {'compiled' if compiled else 'eager'}"
        seconds, speed = results["stage1"]["seconds"], results["stage1"]["images_per_second"]
        later = sum(results["dataset"]["class_counts"]) / speed
        first = seconds - (epochs - 1) * later
        print(
            f"{name}: {epochs} epochs in {seconds:.1f} s (200: <= {limit} on an H200); of these the first, which warms "
            f"up and compiles, {first:.1f} s, and each later one {later:.3f} s ({speed:.0f} images/s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
