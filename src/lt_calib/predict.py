"""Calibrated predictions of a finished run for images of any size.

``python -m lt_calib.predict RUN_FOLDER images/ --out predictions.csv``
"""

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from torch import Tensor

from lt_calib.closed_pipe import outlive_reader
from lt_calib.conformal.beside import Beside, beside_of
from lt_calib.dataset.image import find_files
from lt_calib.decision.cheapest import Cheapest, cheapest_of
from lt_calib.errors import InputError
from lt_calib.export import export
from lt_calib.files.checkpoint import write_atomically
from lt_calib.files.folder import check_writable
from lt_calib.predicted import kept_size, predict_files, predict_rows, said_of
from lt_calib.predictor import Predictor, load_run
from lt_calib.prior.rows import at_prior
from lt_calib.unknown.beside import Scores


def columns(predictor: Predictor, top_k: int, every: bool) -> list[str]:
    """Name the table's columns: the prediction, the ``top_k`` most probable classes, and the probability of each."""
    top = [f"top{i}_{what}" for i in range(1, top_k + 1) for what in ("class", "class_name", "probability")]
    each = [f"probability_{name}" for name in predictor.class_names] if every else []
    return ["file", "class", "class_name", "confidence", "group", *top, *each]


def cells(predictor: Predictor, probs: Tensor, group_of: dict[int, str], top_k: int, every: bool) -> list[Any]:
    """Make an image's :func:`columns` but the first; of equally probable classes those come first that stand first."""
    most = probs.sort(descending=True, stable=True).indices[: max(1, top_k)].tolist()
    p = [round(value, 6) for value in probs.tolist()]
    named = [(c, predictor.class_names[c], p[c]) for c in most]
    top = [value for one in named[:top_k] for value in one]
    return [*named[0], group_of.get(most[0], ""), *top, *(p if every else [])]


def main() -> None:
    """Run the command."""
    outlive_reader()
    parser = argparse.ArgumentParser(prog="python -m lt_calib.predict", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN_FOLDER", help="a finished run's")
    parser.add_argument("images", type=Path, nargs="?", help="an image, or a folder that is searched for them")
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"), help="default: predictions.csv")
    parser.add_argument("--top-k", type=int, default=0, metavar="K", help="also the K most probable classes")
    parser.add_argument("--probabilities", action="store_true", help="also the probability of every class")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write the model as FILE.pt2 or FILE.onnx")
    parser.add_argument(
        "--prior", metavar="PRIOR", help="of the images: uniform, train, forward50, COUNTS.csv, estimate"
    )
    parser.add_argument(
        "--sets", type=float, metavar="ALPHA", help="also the classes that may be meant; 0.1 misses 10 %%"
    )
    parser.add_argument("--sets-by", default="class_wise", metavar="METHOD", help="of lt_calib.conformal; class_wise")
    parser.add_argument("--scores", action="store_true", help="also how unknown an image is: max_logit, energy, ...")
    parser.add_argument("--costs", type=Path, metavar="FILE", help="also the decision by least expected cost, of a CSV")
    parser.add_argument("--prior-input", action="store_true", help="the exported model takes the prior as an input")
    parser.add_argument("--trust", action="store_true", help="build parts from outside lt_calib that the run names")
    args = parser.parse_args()
    if args.images is None and args.export is None:
        parser.error("name a folder of images, or --export FILE")
    if (args.prior_input and args.export is None) or (args.prior and args.images is None):
        parser.error("--prior-input is of --export FILE, and --prior of images")
    if (args.costs is not None or args.scores) and args.images is None:
        parser.error("--costs and --scores are of images")
    if args.sets is not None and (args.images is None or args.prior):
        parser.error("--sets is of images, and not with --prior: sets are fitted at the held-out images' prior")
    for stream in (sys.stdout, sys.stderr):  # names of files may hold what the terminal's encoding has not
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        for path in [args.export] * bool(args.export) + [args.out] * bool(args.images):
            check_writable(path.parent, path.name)
        predictor = load_run(args.run, args.trust)
        if args.export:
            export(predictor, args.export, args.prior_input)
            print(f"written: {args.export}")
        if args.images is not None:
            beside = beside_of(args.run, predictor, args.sets, args.sets_by, args.trust)
            besides: list[Beside | Cheapest | Scores] = [] if beside is None else [beside]
            if args.scores:
                besides.append(Scores(predictor, args.run))
            if args.costs is not None:
                besides.append(cheapest_of(args.run, predictor, args.costs))
            predict_into(
                args.out, predictor, args.images, args.top_k, args.probabilities, args.prior, args.run, besides
            )
    except ValueError as error:
        sys.exit(str(error))


def predict_into(
    out: Path,
    predictor: Predictor,
    images: Path,
    top_k: int = 0,
    every: bool = False,
    prior: str | None = None,
    run: Path | None = None,
    besides: Sequence[Beside | Cheapest | Scores] = (),
) -> None:
    r"""Predict an image, or all below a folder, and write the table; what cannot be read costs itself alone.

    The table is UTF-8. A byte of a file's name that is none stands there as ``\udcXX``, XX its hexadecimal value.

    Args:
        out: Of the table.
        predictor: A finished run.
        images: An image, or a folder.
        top_k: How many of the most probable classes get columns, 0 to K.
        every: Whether every class's probability does.
        prior: Class frequencies that the probabilities are re-weighed to; ``"estimate"`` finds those of the images.
        run: The run's folder, whose held-out part stands behind an estimate.
        besides: Further columns.

    Raises:
        InputError: no image could be read, the table cannot be written, or ``top_k`` is out of its range.
    """
    if not 0 <= top_k <= len(predictor.class_names):
        raise InputError(f"--top-k {top_k} must be 0 to {len(predictor.class_names)}, the run's classes")
    unreadable: list[str] = []
    resized: list[tuple[int, int]] = []
    hidden = 0
    paths = [images]
    of_rows = len(predictor.image_shape) == 1
    if images.is_dir() and not of_rows:
        paths, hidden = find_files(images, unreadable)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*columns(predictor, top_k, every), *(name for beside in besides for name in beside.names)])
    group_of = {c: name for name, classes in predictor.groups.items() for c in classes}
    found = predict_rows(predictor, images) if of_rows else predict_files(predictor, paths, unreadable, resized)
    said = ""
    if prior is not None:
        found, said = at_prior(found, predictor, prior, run, out.with_name(f"{out.stem}_prior.csv"))
    count = 0
    for count, (name, probs) in enumerate(found, start=1):  # noqa: B007
        further = [cell for beside in besides for cell in beside.cells(probs)]
        writer.writerow([name, *cells(predictor, probs, group_of, top_k, every), *further])
    for line in unreadable:
        print("skipped:", "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line))
    skipped = f"{len(unreadable)} files skipped" + (f", {hidden} hidden ones passed over" if hidden else "")
    if not count:
        raise InputError(f"{images}: no image could be read ({skipped}); name an image or a folder of images")
    write_atomically(out, lambda stream: stream.write(text.getvalue().encode(errors="backslashreplace")))
    if resized:
        print(said_of(resized, kept_size(predictor.image_shape, predictor.transform)))
    how = "calibrated" if predictor.calibrator is not None else "not calibrated: the run has no posthoc calibrator"
    print(fill(f"{count} images, {skipped}; {how}; written: {out}", 79, break_long_words=False))
    for line in [said] * bool(said) + [line for beside in besides for line in beside.said()]:
        print(line)


if __name__ == "__main__":
    main()
