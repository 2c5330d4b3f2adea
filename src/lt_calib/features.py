"""Features of a frozen network for all images of a data set, as a file for any program.

``python -m lt_calib.features model=efficientnet_lite0 dataset=cifar100_lt dataset.if=100 --out embeddings.npz``
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lt_calib.closed_pipe import outlive_reader


def main() -> None:
    """Run the command."""
    outlive_reader()
    parser = argparse.ArgumentParser(prog="python -m lt_calib.features", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="model=..., dataset=..., features.size=...")
    parser.add_argument("--out", type=Path, default=Path("embeddings.npz"), help="default: embeddings.npz")
    args = parser.parse_args()
    from hydra.errors import HydraException

    sys.path.insert(0, "")  # parts of one's own lie in the working directory
    try:
        write_features(args.settings, args.out)
    except (ValueError, OSError, HydraException) as error:
        sys.exit(str(error))


def write_features(settings: Sequence[str], out: Path) -> dict[str, np.ndarray]:
    """Compute the features of every split and write them, as ``dataset=features`` reads them.

    Args:
        settings: As on the command line: of a frozen network and a data set of images.
        out: Ends with ``.npz``.

    Raises:
        InputError: settings, files or weights are not as needed, or the file cannot be written.
    """
    from lt_calib.errors import InputError
    from lt_calib.files.checkpoint import write_atomically
    from lt_calib.files.folder import check_writable
    from lt_calib.job.build import build_data
    from lt_calib.job.build_features import embedded
    from lt_calib.settings.check import check_keys, make
    from lt_calib.settings.schema import composed

    if out.suffix != ".npz":
        raise InputError(f"--out {out} must end with .npz")
    cfg = composed("+experiment=frozen_ce", *settings)
    check_keys(cfg)
    check_writable(out.parent, out.name)
    data = embedded(cfg, build_data(cfg), make(cfg, "trainer"))
    arrays = {"class_names": np.array(data.class_names)}
    for split in data.splits:
        arrays[f"{split}_features"] = data.raw(split).numpy()
        arrays[f"{split}_targets"] = data.targets(split).numpy()
    groups = [row["group"] for row in data.listing() if row["split"] == "train" and "group" in row]
    arrays |= {"train_group": np.array(groups)} if groups else {}
    write_atomically(out, lambda stream: np.savez(stream, **arrays))  # type: ignore[arg-type]
    rows = ", ".join(f"{len(data.targets(split))} of {split}" for split in data.splits)
    print(f"{data.num_features} features of {rows}; written: {out}")
    return arrays


if __name__ == "__main__":
    main()
