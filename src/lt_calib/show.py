"""The settings of an experiment, what its file says of it, and what was published.

``python -m lt_calib.show mislas dataset=cifar10_lt dataset.if=50``; without an experiment, all of them by name.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from lt_calib.closed_pipe import outlive_reader
from lt_calib.errors import InputError
from lt_calib.report.published import PUBLISHED_AS, Published, published_rows
from lt_calib.settings.nearest import nearest_names
from lt_calib.settings.schema import composed, conf_dir, plain

COLUMNS = 80


class Short(yaml.SafeDumper):
    """Writes a list in one line."""


Short.add_representer(list, lambda dumper, values: dumper.represent_sequence("tag:yaml.org,2002:seq", values, True))


def main() -> None:
    """Run the command."""
    outlive_reader()
    parser = argparse.ArgumentParser(prog="python -m lt_calib.show", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("experiment", nargs="?", help="a file of conf/experiment; none lists them")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="dataset=cifar10_lt dataset.if=50 ...")
    args = parser.parse_args()
    if args.experiment is None:
        print("\n".join(listed()))
        return
    words = [f"+experiment={args.experiment.removeprefix('+experiment=')}", *args.settings]
    try:
        print("\n".join(shown(*words)))
    except (HydraException, OmegaConfBaseException, InputError) as error:
        sys.exit("\n".join(nearest_names(words)) or str(error))


def listed() -> Iterator[str]:
    """Name all experiments, with the first line of what their files say."""
    paths = sorted((conf_dir() / "experiment").glob("*.yaml"))
    width = max(len(path.stem) for path in paths) + 2
    for path in paths:
        yield path.stem.ljust(width) + shorten(head(path)[0], COLUMNS - width, placeholder=" ...")


def head(path: Path) -> list[str]:
    """Read the comment that an experiment's file begins with."""
    lines = path.read_text().splitlines()[1:]  # the first is Hydra's
    end = next((i for i, line in enumerate(lines) if not line.startswith("# ")), len(lines))
    return [line.removeprefix("# ") for line in lines[:end]]


def shown(experiment: str, *settings: str) -> Iterator[str]:
    """Write an experiment's settings as YAML, resolved, with the metrics by name; as comments what is said of it.

    The data's recipe, from which other settings are taken, is left out.

    Args:
        experiment: ``+experiment=NAME``.
        *settings: As for a run.
    """
    config = plain(composed(experiment, *settings))
    path = conf_dir() / "experiment" / f"{experiment.partition('=')[2]}.yaml"
    if path.exists():  # and not in a folder of one's own
        yield from (f"# {line}" for line in head(path))
    data = config["dataset"]
    data.pop("recipe", None)  # other factors' too; what of it holds here has gone into the stages
    yield yaml.dump(config | {"metric": list(config["metric"] or {})}, Dumper=Short, sort_keys=False, width=COLUMNS)
    yield from (f"# {line}" for line in said_of_published(config["experiment"], data["name"], data["if"]))


def said_of_published(method: str, dataset: str, imbalance_factor: float | None) -> Iterator[str]:
    """Say what was published of a method on these data, equal numbers once, and on which others.

    Args:
        method: An experiment's name.
        dataset: The data's name.
        imbalance_factor: IF; None of data that are not cut, of which nothing was published here.
    """
    rows = {key[1:]: found for key, found in published_rows().items() if key[0] == PUBLISHED_AS.get(method, method)}
    here = {
        stage: found for (data, factor, stage), found in rows.items() if (data, factor) == (dataset, imbalance_factor)
    }
    title = f"on {dataset}, IF {imbalance_factor}" if imbalance_factor is not None else f"on {dataset}"
    yield f"Published {title}, percent:" if here else f"No published number of {method} {title} is listed here."
    for stage, found in here.items():
        sources: dict[str, list[str]] = {}
        for one in found:
            sources.setdefault(_numbers(one), []).append(one.source)
        yield from (f"  {stage}  {numbers}  ({', '.join(of)})" for numbers, of in sources.items())
    others: dict[str, set[float]] = {}
    for data, factor, _ in rows:
        if (data, factor) != (dataset, imbalance_factor):
            others.setdefault(data, set()).add(factor)
    if others:
        yield "Also: " + "; ".join(
            f"{data} IF {', '.join(f'{f:g}' for f in sorted(of))}" for data, of in others.items()
        )


def _numbers(row: Published) -> str:
    named = {"acc": row.acc, "ECE": row.ece, "head": row.acc_head, "medium": row.acc_medium, "tail": row.acc_tail}
    return "  ".join(f"{name} {value:g}" for name, value in named.items() if value is not None)


if __name__ == "__main__":
    main()
