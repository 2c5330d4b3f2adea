"""Peak resident memory of training at batch 128, over the process's baseline after the imports."""

import contextlib
import io

import lightning
import torchmetrics
import torchvision

from benchmarks.job import configuration, peak_mb, run


def main() -> None:
    """Measure one short job on data as large as CIFAR-10's."""
    import benchmarks.job as job

    before = peak_mb()
    job.A_CLASS, job.TEST = 5000, 10000  # what CIFAR-10 holds in memory
    few = ["dataset.if=100", "stage1.max_epochs=1", "stage2.max_epochs=1", "trainer.accelerator=cpu"]
    with contextlib.redirect_stdout(io.StringIO()):
        run(configuration(*few))
    print(f"baseline {before:.0f} MB with {lightning.__name__}, {torchmetrics.__name__}, {torchvision.__name__}")
    print(f"peak over it: {peak_mb() - before:.0f} MB   (<= 1200)")


if __name__ == "__main__":
    main()
