"""``make demo-folder``: from a folder of images to calibrated predictions, as on images of your own.

The embedded digits are written out as files: a natural long tail, images of several sizes and kinds, and a few of the
defects that real folders have. Then the four commands run that README names.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

COUNTS = (90, 70, 55, 40, 30, 22, 16, 10, 6, 3)  # training images of each digit
VAL, TEST = 10, 40
TOP = Path("outputs/demo_folder")
RUN = TOP / "run"


def write(top: Path) -> None:
    """Write train/, val/ and test/ with a folder per class, a duplicate across splits, and files that are no images."""
    bunch: Any = load_digits()
    rng = np.random.default_rng(0)
    seen = dict.fromkeys(range(10), 0)
    for i, (pixels, label) in enumerate(zip(bunch.images, bunch.target.tolist(), strict=True)):
        place, seen[label] = seen[label], seen[label] + 1
        split = "test" if place < TEST else "val" if place < TEST + VAL else "train"
        if split == "train" and place >= TEST + VAL + COUNTS[label]:
            continue
        image = Image.fromarray((pixels * 255 / 16).astype(np.uint8)).resize((int(rng.integers(20, 48)), 32))
        image = image.convert(("L", "RGB", "P")[i % 3])
        path = top / split / f"digit {label}" / f"{i:04}.{'jpg' if i % 3 == 1 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    (top / "train" / "digit 0" / ".DS_Store").touch()
    (top / "train" / "digit 1" / "notes.txt").write_text("taken in May")
    broken = top / "train" / "digit 2" / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n, and no more")
    first = next((top / "test" / "digit 3").iterdir())
    shutil.copy(first, top / "train" / "digit 3" / f"copy{first.suffix}")


def command(*words: str) -> None:
    """Run a command of the package, shown before."""
    print(f"\n$ python -m lt_calib.{' '.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", f"lt_calib.{words[0]}", *words[1:]], check=True)


def main() -> None:
    """Write the folder, run the commands, and say how far to trust the model."""
    shutil.rmtree(TOP, ignore_errors=True)
    images = TOP / "images"
    write(images)
    data = ["dataset=folder", f"dataset.root={images}"]
    command("dataset", "check", *data, "--out", str(TOP / "check"))
    command(
        "run", "+experiment=balanced_softmax", *data, "dataset.skip_broken=true", "dataset.flip=false",
        "dataset.groups=thirty_forty_thirty", "model=resnet8", "stage1.max_epochs=60", "stage1.lr=0.05",
        f"hydra.run.dir={RUN}",
    )  # fmt: skip
    command("calibrate", str(RUN), "posthoc=temperature")
    new = TOP / "new"
    new.mkdir()
    for label in (0, 5, 9):
        file = next((images / "test" / f"digit {label}").iterdir())
        shutil.copy(file, new / f"looks like a {label}{file.suffix}")
    command("predict", str(RUN), str(new), "--out", str(TOP / "predictions.csv"))
    print((TOP / "predictions.csv").read_text())
    last = json.loads((RUN / "results.json").read_text())["calibrated"]["stage1"]["test"]
    low, high = (100 * last[f"acc_{group}"] for group in ("tail", "head"))
    print(
        f"Of a hundred images about {100 * last['acc']:.0f} are named rightly, {high:.0f} of the common classes and "
        f"{low:.0f} of the rare ones. When the model says 80 % it is right in about 80 % of the cases, give or take "
        f"{100 * last['ece']:.0f} points on average ({100 * last['ece_floor_mean']:.0f} of them would be chance "
        "alone); one identical image in train and test was named by the check, and a real study would remove it first."
    )


if __name__ == "__main__":
    main()
