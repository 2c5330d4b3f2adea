"""What README.md and docs/ take from conf/ and results/: tables between two marks each, and the picture.

``python -m tools.readme README.md`` writes all of it.
"""

import argparse
import inspect
from collections.abc import Sequence
from pathlib import Path

from hydra.utils import get_object

from lt_calib.measure.direction import way_of
from lt_calib.report.columns import by_setting
from lt_calib.report.formats import markdown
from lt_calib.report.read import read_runs
from lt_calib.report.rows import Row, summarise
from lt_calib.report.table import COLUMNS, cell
from lt_calib.settings.schema import composed, conf_dir
from tools import picture

SHARED = ("data", "IF", "epochs", "network")  # by all rows of a table of the published length; the page says it
ALIKE = ("seeds", "hardware, precision")  # perhaps; said above the table where it is so, a column where it is not
THEIRS = ("published acc (ECE)", "difference")
PAGES = {"README.md": ["results"], "docs/methods.md": ["methods"], "docs/metrics.md": ["metrics"]}
PAGES |= {"docs/results.md": ["cifar10", "cifar100", "frozen", "choice"]}
PICTURES = {"docs/accuracy_ece_cifar100.png": "CIFAR-100-LT", "docs/accuracy_ece_cifar10.png": "CIFAR-10-LT"}
SHORT = {  # (experiment, stage) -> name in README's table, in its order
    ("ce", "1"): "cross-entropy",
    ("balanced_softmax", "1"): "Balanced Softmax",
    ("balanced_softmax_awabs", "2"): "Balanced Softmax, then AWABS",
    ("mislas", "2"): "MiSLAS (mixup, then label-aware smoothing)",
    ("cutmix_awabs", "1"): "CutMix with Balanced Softmax",
    ("cutmix_awabs", "2"): "the same, then AWABS",
    ("frozen_balanced_softmax", "1"): "frozen network, Balanced Softmax",
    ("frozen_logit_adjustment", "2"): "frozen network, logit adjustment",
    ("frozen_awabs", "2"): "frozen network, AWABS",
    ("frozen_awabs", "2 + temperature"): "the same, with a temperature",
}
FROZEN = "python -m lt_calib.campaign frozen --only 'cifar100_lt_if100/*' dataset.root=FOLDER"


def methods_table(folder: Path) -> str:
    """Return the Markdown table: one row an experiment, what its header says before the command."""
    rows = ["| `+experiment=` | what it is |", "|---|---|"]
    for path in sorted(folder.glob("*.yaml")):
        header = []
        for line in path.read_text().splitlines():
            if line.startswith("# python") or not line.startswith("#"):
                break
            header.append(line.removeprefix("#").strip())
        rows.append(f"| `{path.stem}` | {' '.join(header[1:])} |")
    return "\n".join(rows)


def metrics_table() -> str:
    """Return the Markdown table: one row a metric of conf/metric, by the first line of its docstring."""
    rows = ["| key | what it is | better |", "|---|---|---|"]
    every = sorted(path.stem for path in (conf_dir() / "metric").glob("*.yaml"))
    config = composed("+experiment=ce", f"metric=[{','.join(every)}]")
    for name in config.metric:
        function = get_object(config.metric[name]["_target_"])
        said = (inspect.getdoc(function) or "").splitlines()[0].replace("|", r"\|")
        rows.append(f"| `{name}` | {said} | {way_of(function) or '-'} |")
    return "\n".join(rows)


def each_stage_once(rows: Sequence[Row]) -> list[Row]:
    """Leave out the stage 1 that several experiments share, but for one of them.

    It is the one of most seeds, an experiment without a stage 2 before others: in a campaign that is under way one may
    have seeds that another has not yet.
    """
    kept, seen = set[int](), set[str]()
    for row in sorted(rows, key=lambda row: (-len(row.runs), row.runs[0]["stage2"] is not None)):
        group = (row.stage, row.group.dataset, row.group.imbalance_factor, row.group.val_per_class)
        mine = {repr((group, one)) for one in row.values.itertuples()}
        if not mine <= seen:
            kept.add(id(row))
            seen |= mine
    return [row for row in rows if id(row) in kept]


def of_published_length(rows: Sequence[Row]) -> str:
    """Make the table, under what all of its rows have been run with, and one of the published numbers beside ours."""
    alike = [name for name in ALIKE if len({COLUMNS[name](row) for row in rows}) == 1]
    said = "; ".join(f"{name}: {COLUMNS[name](rows[0])}" for name in alike)
    ours = markdown(rows, without=(*SHARED, *alike, *THEIRS))
    known = [row for row in rows if row.published]
    theirs = markdown(known, without=COLUMNS.keys() - {"method", "stage", *THEIRS})
    beside = f"Published, and ours minus that, in points:\n\n{theirs}" if known else ""
    return "\n\n".join(part for part in (said, ours, beside) if part)


def short_table(rows: Sequence[Row]) -> str:
    """Make README's table: the rows of SHORT that are there, five columns."""
    found = {(row.group.method, row.stage): row for row in rows}
    head = ("method", "accuracy", "ECE (of a calibrated model: mean, 95 %)", "NLL", "tail accuracy")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for key, name in SHORT.items():
        if key in found:
            cells = [cell(found[key], metric).replace("floor ", "") for metric in ("acc", "ece", "nll", "acc_tail")]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def collect(root: Path) -> dict[str, list[Row]]:
    """Read results/: the rows of the published length of both data sets, and those on a frozen network's features."""

    def published(data: str) -> list[Row]:
        rows = each_stage_once(summarise(read_runs([root / "results/published" / f"{data}_lt_if100"])))
        return [row for row in rows if row.group.val_per_class == 0]

    frozen = [run for run in read_runs([root / "results"]) if run["name"].startswith("frozen_")]
    rows = [row for row in each_stage_once(summarise(frozen)) if row.group.val_per_class == 0]
    tables = by_setting([row for row in rows if row.group[:2] == ("cifar100_lt", 100)])
    of_cifar100 = [row for mine in tables.values() for row in mine]
    return {"cifar10": published("cifar10"), "cifar100": published("cifar100"), "frozen": of_cifar100}


def generated(root: Path, rows: dict[str, list[Row]]) -> dict[str, str]:
    """Return every generated block by the name in its marks.

    Args:
        root: Top of the source tree.
        rows: Of :func:`collect`.
    """
    without = f"Frozen networks have no row in results/ yet; this command prints them:\n\n```\n{FROZEN}\n```"
    of = of_published_length(rows["frozen"]) if rows["frozen"] else ""
    with_rows = f"On a frozen network's features:\n\n```\n{FROZEN}\n```\n\n{of}"
    held_out = summarise(read_runs([root / "results" / "cifar10_lt_if100_val200"]), "val")
    return {
        "methods": methods_table(conf_dir() / "experiment"),
        "metrics": metrics_table(),
        "cifar10": of_published_length(rows["cifar10"]),
        "cifar100": of_published_length(rows["cifar100"]),
        "frozen": with_rows if rows["frozen"] else without,
        "results": short_table([*rows["cifar100"], *rows["frozen"]]),
        "choice": markdown(each_stage_once(held_out)),
    }


def written(text: str, blocks: dict[str, str]) -> str:
    """Return the text of a page with its blocks replaced.

    Raises:
        ValueError: a mark is missing.
    """
    for name, block in blocks.items():
        start, end = f"<!-- {name}: written by make readme -->", f"<!-- end of {name} -->"
        if text.count(start) != 1 or text.count(end) != 1:
            raise ValueError(f"the marks {start} and {end} must be there once each")
        before, rest = text.split(start)
        text = f"{before}{start}\n{block}\n{end}{rest.split(end)[1]}"
    return text


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, help="README.md at the top of the source tree")
    root = parser.parse_args().file.resolve().parent
    rows = collect(root)
    blocks = generated(root, rows)
    for page, names in PAGES.items():
        path = root / page
        path.write_text(written(path.read_text(), {name: blocks[name] for name in names}))
    for path, data in PICTURES.items():
        shown = rows["cifar10"] if data == "CIFAR-10-LT" else [*rows["cifar100"], *rows["frozen"]]
        shown = [row for row in shown if row.stage in ("1", "2")]  # without calibrators
        picture.save(picture.draw(shown, f"{data}, imbalance factor 100, test set"), root / path)


if __name__ == "__main__":
    main()
