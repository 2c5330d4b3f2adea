"""Calibrated predictions of a finished run for image files of any size and kind.

``python -m lt_calib.predict RUN_FOLDER images/ --out predictions.csv``
"""

import argparse
import csv
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lt_calib.closed_pipe import outlive_reader
from lt_calib.dataset.files import kept_side, to_square
from lt_calib.dataset.image import find_files, read_image
from lt_calib.errors import InputError
from lt_calib.files.checkpoint import write_atomically
from lt_calib.files.folder import check_writable
from lt_calib.predictor import BATCH, Predictor, export, load_run


def read_resized(path: Path, shape: Sequence[int], transform: Any = None) -> Tensor:
    """Read an image file as (C, H, W) uint8, in color where C is 3, brought to H and W as the transform evaluates it.

    Without a ``fit`` of the transform's its sides are stretched.

    Raises:
        InputError: it cannot be read.
    """
    channels, height, width = shape
    side = kept_side(transform, height) or height
    image = read_image(path, "RGB" if channels == 3 else "L", size=side if height == width else None)
    if height == width and hasattr(transform, "fit"):
        edge = (side - height) // 2  # evaluation sees the middle of what is kept
        image = to_square(image, side, transform).crop((edge, edge, edge + width, edge + height))
    else:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image)).reshape(height, width, channels).permute(2, 0, 1)


class Prediction(NamedTuple):
    """One line of the output."""

    file: str
    label: int
    name: str
    confidence: float
    group: str


def predict_files(predictor: Predictor, paths: Sequence[Path], unreadable: list[str]) -> Iterator[Prediction]:
    """Predict images, batch by batch; what cannot be read is added to ``unreadable``."""
    group_of = {c: name for name, classes in predictor.groups.items() for c in classes}
    for start in range(0, len(paths), BATCH):
        images, names = [], []
        for path in paths[start : start + BATCH]:
            try:
                images.append(read_resized(path, predictor.image_shape, predictor.transform))
                names.append(str(path))
            except InputError as error:
                unreadable.append(str(error))
        if images:
            confidence, label = predictor.predict_proba(torch.stack(images)).max(dim=1)
            for name, sure, c in zip(names, confidence.tolist(), label.tolist(), strict=True):
                yield Prediction(name, c, predictor.class_names[c], round(sure, 6), group_of.get(c, ""))


def main() -> None:
    """Run the command."""
    outlive_reader()
    parser = argparse.ArgumentParser(prog="python -m lt_calib.predict", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN_FOLDER", help="a finished run's")
    parser.add_argument("images", type=Path, nargs="?", help="an image, or a folder that is searched for them")
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"), help="default: predictions.csv")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write the model as FILE.pt2 or FILE.onnx")
    parser.add_argument("--trust", action="store_true", help="build parts from outside lt_calib that the run names")
    args = parser.parse_args()
    if args.images is None and args.export is None:
        parser.error("name a folder of images, or --export FILE")
    for stream in (sys.stdout, sys.stderr):  # names of files may hold what the terminal's encoding has not
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        for path in [args.export] * bool(args.export) + [args.out] * bool(args.images):
            check_writable(path.parent, path.name)
        predictor = load_run(args.run, args.trust)
        if args.export:
            export(predictor, args.export)
            print(f"written: {args.export}")
        if args.images is not None:
            predict_into(args.out, predictor, args.images)
    except ValueError as error:
        sys.exit(str(error))


def predict_into(out: Path, predictor: Predictor, images: Path) -> None:
    r"""Predict an image, or all below a folder, and write the table; what cannot be read costs itself alone.

    The table is UTF-8. A byte of a file's name that is none stands there as ``\udcXX``, XX its hexadecimal value.

    Raises:
        InputError: no image could be read, or the table cannot be written.
    """
    unreadable: list[str] = []
    hidden = 0
    paths = [images]
    if images.is_dir():
        paths, hidden = find_files(images, unreadable)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["file", "class", "class_name", "confidence", "group"])
    count = 0
    for count, prediction in enumerate(predict_files(predictor, paths, unreadable), start=1):  # noqa: B007
        writer.writerow(prediction)
    for line in unreadable:
        print("skipped:", "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line))
    skipped = f"{len(unreadable)} files skipped" + (f", {hidden} hidden ones passed over" if hidden else "")
    if not count:
        raise InputError(f"{images}: no image could be read ({skipped}); name an image or a folder of images")
    write_atomically(out, lambda stream: stream.write(text.getvalue().encode(errors="backslashreplace")))
    how = "calibrated" if predictor.calibrator is not None else "not calibrated: the run has no posthoc calibrator"
    print(f"{count} images, {skipped}; {how}; written: {out}")


if __name__ == "__main__":
    main()
