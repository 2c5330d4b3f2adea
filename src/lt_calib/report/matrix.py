"""The published tables as far as they have been run: every cell of the campaign, empty where nothing has been."""

from collections.abc import Sequence
from typing import Any

from lt_calib.campaign.jobs import jobs_of
from lt_calib.report.by_factor import ACC_ECE, hardware_of, published_at
from lt_calib.report.group import grouped
from lt_calib.report.published import PUBLISHED_AS, published_rows
from lt_calib.report.rows import Row
from lt_calib.report.table import Table, acc_ece, by_columns

CAMPAIGNS = ("published", "published_balanced", "best")


def matrix(rows: Sequence[Row]) -> list[Table]:
    """Lay out the campaigns of the published tables by data set; nothing where the rows are of none of their data sets.

    Only runs of the published network and schedule under the package's own recipe fill a cell. A method's stages are
    those that were published; where none was, its last. What was published of methods that they do not have stands
    below.

    Args:
        rows: On the test set.
    """
    jobs = [
        dict(word.lstrip("+").split("=", 1) for word in job.overrides) for name in CAMPAIGNS for job in jobs_of(name)
    ]
    by_dataset = grouped(jobs, lambda job: job["dataset"])
    if not any(row.group.dataset in by_dataset for row in rows):
        return []
    plain = [row for row in rows if row.full and row.recipe == "representation" and not row.group.variant]
    tables = []
    for dataset, mine in by_dataset.items():
        known = [key for key in published_rows() if key[1] == dataset]
        factors = {float(job["dataset.if"]) for job in mine} | {key[2] for key in known}
        here = [row for row in plain if row.group.dataset == dataset]
        cells: list[tuple[Any, ...]] = []
        methods = dict.fromkeys((job["experiment"], int(job.get("dataset.val_per_class", 0))) for job in mine)
        for method, val in methods:
            ran = [row for row in here if (row.group.method, row.group.val_per_class) == (method, val)]
            stages = {key[3][-1] for key in known if key[0] == PUBLISHED_AS.get(method, method) and not val}
            for stage in (*(sorted(stages) or ["last"]), *(["last + temperature"] if val else [])):
                about = method, str(val), stage
                cells += [(*about, "ours", factor, "") for factor in factors] + _ours(about, ran)
                if stage in stages:
                    cells += [(*about, "published", f, published_at(method, dataset, f, stage)) for f in factors]
        theirs = {PUBLISHED_AS.get(method, method) for method, _ in methods}
        for method, stage in dict.fromkeys((key[0], key[3][-1]) for key in known if key[0] not in theirs):
            about = method, "0", stage, "published, no job of the campaign"
            cells += [(*about, factor, published_at(method, dataset, factor, stage)) for factor in factors]
        on = f", on {hardware_of(here)}" if here else ""
        title = f"{dataset}, the published network and schedule, one recipe{on}: {ACC_ECE}"
        tables.append(by_columns(title, ("method", "held out", "stage", ""), cells))
    return tables


def _ours(about: tuple[str, str, str], rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    cells = []
    for factor, mine in grouped(rows, lambda row: row.group.imbalance_factor).items():
        stage = about[-1].replace("last", max(row.stage[0] for row in mine))
        cells += [(*about, "ours", factor, acc_ece(row)) for row in mine if row.stage == stage]
    return cells
