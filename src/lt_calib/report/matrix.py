"""The published tables as far as they have been run: every cell of the campaign, empty where nothing has been."""

from collections import defaultdict
from collections.abc import Sequence

from lt_calib.campaign.jobs import jobs_of
from lt_calib.report.by_factor import Table, hardware_of, numbers
from lt_calib.report.published import PUBLISHED_AS, published, published_rows
from lt_calib.report.rows import Row
from lt_calib.report.table import show

CAMPAIGNS = ("published", "published_balanced", "best")


def matrix(rows: Sequence[Row]) -> list[Table]:
    """Lay out the campaigns of the published tables by data set; nothing where the rows are of none of their data sets.

    Only runs of the published network and schedule under the package's own recipe fill a cell. A method's stages are
    those that were published; where none was, its last. What was published of methods that they do not have stands
    below.

    Args:
        rows: On the test set.
    """
    all_jobs = [job for name in CAMPAIGNS for job in jobs_of(name)]
    jobs = [dict(word.lstrip("+").split("=", 1) for word in job.overrides) for job in all_jobs]
    datasets = list(dict.fromkeys(job["dataset"] for job in jobs))
    if not any(row.group.dataset in datasets for row in rows):
        return []
    found: dict[tuple[str, str, int, float], list[Row]] = defaultdict(list)
    for row in (r for r in rows if r.full and r.recipe == "representation" and not r.group.variant):
        g = row.group
        found[g.dataset, g.method, g.val_per_class, g.imbalance_factor].append(row)
    tables = []
    for dataset in datasets:
        mine = [job for job in jobs if job["dataset"] == dataset]
        here = [key for key in published_rows() if key[1] == dataset]
        factors = sorted({float(job["dataset.if"]) for job in mine} | {key[2] for key in here}, reverse=True)
        kinds = dict.fromkeys((job["experiment"], int(job.get("dataset.val_per_class", 0))) for job in mine)
        lines = []
        for method, val in kinds:
            by = {factor: found[dataset, method, val, factor] for factor in factors}
            stages = {key[3] for key in here if key[0] == PUBLISHED_AS.get(method, method)} if not val else set()
            for stage in sorted(stages) or ["last"]:
                cells = [_ours(by[factor], stage, scaled=False) for factor in factors]
                lines.append([method, str(val), stage.removeprefix("stage"), "ours", *cells])
                if stage != "last":
                    theirs = [published(method, dataset, factor, stage) for factor in factors]
                    cells = [" ; ".join(map(numbers, known)) or "-" for known in theirs]
                    lines.append([method, str(val), stage.removeprefix("stage"), "published", *cells])
            if val:
                cells = [_ours(by[factor], "last", scaled=True) for factor in factors]
                lines.append([method, str(val), "last + temperature", "ours", *cells])
        known_here = {PUBLISHED_AS.get(method, method) for method, _ in kinds}
        for method, stage in dict.fromkeys((key[0], key[3]) for key in here if key[0] not in known_here):
            theirs = [published(method, dataset, factor, stage) for factor in factors]
            cells = [" ; ".join(map(numbers, known)) or "-" for known in theirs]
            lines.append([method, "0", stage.removeprefix("stage"), "published, no job of the campaign", *cells])
        there = hardware_of([row for key, some in found.items() if key[0] == dataset for row in some])
        on = f", on {there}" if there else ""
        title = f"{dataset}, the published network and schedule, one recipe{on}: accuracy / ECE (runs); empty: not run"
        tables.append(Table(title, ["method", "held out", "stage", "", *(f"IF {f:g}" for f in factors)], lines))
    return tables


def _ours(rows: Sequence[Row], stage: str, scaled: bool) -> str:
    plain = [row for row in rows if row.stage in ("1", "2")]
    last = max((row.stage for row in plain), default="")
    wanted = last if stage == "last" else stage.removeprefix("stage")
    mine = [row for row in rows if row.stage == (f"{wanted} + temperature" if scaled else wanted)]
    return " ; ".join(f"{show(r.values['acc'], True)} / {show(r.values['ece'], True)} ({len(r.runs)})" for r in mine)
