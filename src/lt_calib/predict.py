"""Calibrated predictions of a finished run for pictures of any size and mode.

``python -m lt_calib.predict RUN_FOLDER images/ --out predictions.csv``
"""

import argparse
import csv
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from lt_calib.errors import InputError
from lt_calib.files.checkpoint import write_atomically
from lt_calib.predictor import BATCH, Predictor, export, load_run


def read_image(path: Path, shape: Sequence[int]) -> Tensor:
    """Read an image of any size and mode as (C, H, W) uint8: turned upright, on white where it is transparent.

    Of 16 bits a pixel, white is 65535; of floats, 1.

    Raises:
        OSError: it is no picture, or damaged.
        ValueError: 32 bits a pixel of which nobody says what white is.
    """
    with Image.open(path) as file:
        picture = ImageOps.exif_transpose(file)
        if picture.mode.startswith(("I", "F")):  # 16 bits or more a pixel, which convert() would cut off at 255
            values = np.asarray(picture, dtype=np.float64)
            sixteen = picture.mode.startswith("I;16") or file.format == "PNG"  # which has no more bits
            top = 65535 if sixteen else 1
            if not sixteen and not (picture.mode == "F" and 0 <= values.min() <= values.max() <= 1):
                raise ValueError(
                    f"pixels of 32 bits from {values.min():g} to {values.max():g}, of which it is not known what white "
                    "is: save it with 8 or 16 bits, or as floats in [0, 1]"
                )
            picture = Image.fromarray((values.clip(0, top) * (255 / top)).round().astype(np.uint8))
        if picture.has_transparency_data:
            rgba = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        channels, height, width = shape
        small = picture.convert("RGB" if channels == 3 else "L").resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(small)).reshape(height, width, channels).permute(2, 0, 1)


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
                images.append(read_image(path, predictor.image_shape))
                names.append(str(path))
            except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                unreadable.append(f"{path}: {error}")
        if images:
            confidence, label = predictor.predict_proba(torch.stack(images)).max(dim=1)
            for name, sure, c in zip(names, confidence.tolist(), label.tolist(), strict=True):
                yield Prediction(name, c, predictor.class_names[c], round(sure, 6), group_of.get(c, ""))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m lt_calib.predict", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN_FOLDER", help="a finished run's")
    parser.add_argument("images", type=Path, nargs="?", help="an image, or a folder that is searched for them")
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"), help="default: predictions.csv")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write the model as FILE.pt2 or FILE.onnx")
    parser.add_argument("--trust", action="store_true", help="build parts from outside lt_calib that the run names")
    args = parser.parse_args()
    if args.images is None and args.export is None:
        parser.error("name a folder of images, or --export FILE")
    try:
        predictor = load_run(args.run, args.trust)
        if args.export:
            export(predictor, args.export)
            print(f"written: {args.export}")
    except ValueError as error:
        sys.exit(str(error))
    if args.images is None:
        return
    if not args.images.exists():
        sys.exit(f"{args.images} is not there; name an image or a folder of images")
    paths = sorted(p for p in args.images.rglob("*") if p.is_file()) if args.images.is_dir() else [args.images]
    unreadable: list[str] = []
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["file", "class", "class_name", "confidence", "group"])
    count = 0
    for count, prediction in enumerate(predict_files(predictor, paths, unreadable), start=1):  # noqa: B007
        writer.writerow(prediction)
    try:
        write_atomically(args.out, lambda stream: stream.write(text.getvalue().encode()))
    except InputError as error:
        sys.exit(str(error))
    for line in unreadable:
        print(f"skipped: {line}")
    how = "calibrated" if predictor.calibrator is not None else "not calibrated: the run has no posthoc calibrator"
    print(f"{count} images, {len(unreadable)} files skipped; {how}; written: {args.out}")


if __name__ == "__main__":
    main()
