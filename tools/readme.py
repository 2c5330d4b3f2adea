"""The generated tables of README.md: methods from conf/experiment, numbers from results/.

``python -m tools.readme README.md`` writes each between its two marks.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from lt_calib.report.formats import markdown
from lt_calib.report.read import read_runs
from lt_calib.report.rows import Row, summarise
from lt_calib.report.table import COLUMNS
from lt_calib.settings.schema import conf_dir


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


SHARED = ("data", "IF", "epochs", "network")  # by all rows of a table of the published length; README.md says it
ALIKE = ("seeds", "hardware, precision")  # perhaps; said above the table where it is so, a column where it is not


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
    """Make the table, under what all of its rows have been run with."""
    alike = [name for name in ALIKE if len({COLUMNS[name](row) for row in rows}) == 1]
    said = "; ".join(f"{name}: {COLUMNS[name](rows[0])}" for name in alike)
    return (f"{said}\n\n" if said else "") + markdown(rows, without=(*SHARED, *alike))


def generated(root: Path) -> dict[str, str]:
    """Return every generated block of README.md by the name in its marks.

    Args:
        root: Top of the source tree.
    """

    def rows(folder: str, split: str = "test") -> list[Row]:
        return each_stage_once(summarise(read_runs([root / "results" / folder]), split))

    def published(folder: str) -> str:
        whole = [row for row in rows(f"published/{folder}") if row.group.val_per_class == 0]
        return of_published_length(whole)

    return {
        "methods": methods_table(conf_dir() / "experiment"),
        "cifar10": published("cifar10_lt_if100"),
        "cifar100": published("cifar100_lt_if100"),
        "choice": markdown(rows("cifar10_lt_if100_val200", "val")),
    }


def written(text: str, blocks: dict[str, str]) -> str:
    """Return the text of README.md with its blocks replaced.

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
    file = parser.parse_args().file
    file.write_text(written(file.read_text(), generated(file.resolve().parent)))


if __name__ == "__main__":
    main()
