"""``python -m lt_calib.dataset check dataset=folder dataset.root=DIR [--out DIR]``: an audit before anything trains."""

import argparse
import base64
import sys
from html import escape
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from lt_calib.closed_pipe import outlive_reader
from lt_calib.dataset.audit import audit
from lt_calib.dataset.long_tail import groups
from lt_calib.dataset.split import Part, parts_of

SHOWN = 3  # images of the largest and of the smallest classes
CLASSES = 4


def main() -> None:
    """Run the command."""
    outlive_reader()
    parser = argparse.ArgumentParser(prog="python -m lt_calib.dataset", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=["check"])
    parser.add_argument("settings", nargs="+", metavar="SETTING", help="dataset=folder dataset.root=DIR ...")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write check.html there")
    args = parser.parse_args()
    try:
        check(args.settings, args.out)
    except (ValueError, OSError, HydraException, OmegaConfBaseException) as error:
        sys.exit(str(error))


def check(settings: list[str], out: Path | None = None) -> None:
    """Print the audit of the data that ``settings`` name; with ``out`` write it as a page, with figures."""
    from lt_calib.settings.check import make
    from lt_calib.settings.schema import composed

    cfg = composed(*settings)
    data = make(cfg, "dataset", imbalance_factor=cfg.dataset["if"])
    source = data.source(data.root)
    parts = parts_of(source, data.test_fraction, data.split_seed)
    found = audit(parts, source.class_names, data.group_rule)
    found["Classes"] += source.remarks
    for heading, lines in found.items():
        print(f"\n{heading}")
        for line in lines:
            print(f"  {line}")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "check.html").write_text(page(data.name, found, figures(parts, source.class_names, data, out)))
        print(f"\nwritten: {out / 'check.html'}")


def figures(parts: dict[str, Part], names: tuple[str, ...], data: Any, out: Path) -> list[Path]:
    """Draw the sorted class counts, and images of the largest and of the smallest classes."""
    import torch
    from torch.nn.functional import one_hot

    from lt_calib.figure.class_counts import class_count_bars
    from lt_calib.figure.pictures import picture_sheet
    from lt_calib.figure.style import save

    counts = torch.bincount(parts["train"].targets, minlength=len(names))
    order = counts.argsort(descending=True, stable=True)
    ranked = groups(counts[order].tolist(), data.group_rule)
    drawn = save(class_count_bars(counts[order].tolist(), ranked, f"{data.name}, largest first"), out / "counts")[:1]
    for title, classes in {"largest": order[:CLASSES], "smallest": order[-CLASSES:]}.items():
        rows = [int(i) for c in classes for i in torch.nonzero(parts["train"].targets == c)[:SHOWN, 0]]
        shown = parts["train"][rows].decoded(data.size or 64, True, data.transform)
        images = torch.as_tensor(shown.images) / 255
        sheet = picture_sheet(images, one_hot(shown.targets, len(names)).float(), names, f"the {title} classes")
        drawn += save(sheet, out / title)[:1]
    return drawn


def page(name: str, found: dict[str, list[str]], drawn: list[Path]) -> str:
    """Write the audit as one self-contained HTML page."""
    sections = "".join(
        f"<h2>{escape(heading)}</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
        for heading, lines in found.items()
    )
    images = "".join(
        f'<figure><img alt="{path.stem}" src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}">'
        "</figure>"
        for path in drawn
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><title>{escape(name)}: check</title>
<style>:root {{ color-scheme: light dark; }} body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
max-width: 60rem; padding: 0 1rem; }} img {{ max-width: 100%; background: white; }}</style></head>
<body><h1>{escape(name)}</h1>{sections}{images}</body></html>
"""


if __name__ == "__main__":
    main()
