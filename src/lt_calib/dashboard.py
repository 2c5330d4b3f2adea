"""The W&B pages of a project: a workspace and a report, laid out by the wandb-workspaces package.

``python -m lt_calib.dashboard --entity ENTITY [--project lt_calib]``
"""

import argparse
import os
import sys
from typing import Any

from lt_calib.closed_pipe import outlive_reader
from lt_calib.errors import InputError
from lt_calib.logger.wandb import has_key

TITLE = "Calibrated long-tailed recognition"
STAGES = ("stage1", "stage2")
GROUPS = ("head", "medium", "tail")
METRICS = {"acc": "accuracy", "ece": "ECE", "nll": "NLL"}


def sections() -> dict[str, list[Any]]:
    """Lay the panels out: title -> panels, the same in the workspace and in the report."""
    import wandb_workspaces.reports.v2 as wr

    def test(stage: str, name: str, kind: str = "test") -> Any:
        return wr.SummaryMetric(f"{stage}/{kind}/{name}")

    def bars(metric: str, stage: str) -> Any:
        return wr.BarPlot(
            title=f"{stage}: {METRICS[metric]}", metrics=[test(stage, f"{metric}_{group}") for group in GROUPS],
            groupby=wr.Config("name"), groupby_aggfunc="mean", groupby_rangefunc="stddev", orientation="v",
        )  # fmt: skip

    def curve(stage: str, name: str) -> Any:
        return wr.LinePlot(title=f"{stage}: {name}", x=wr.Metric(f"{stage}/epoch"), y=[wr.Metric(f"{stage}/{name}")])

    column = wr.ParallelCoordinatesPlotColumn
    epsilons = [column(metric=wr.Config(f"stage2.loss.{name}")) for name in ("eps_head", "eps_tail")]
    ends = [column(metric=test("stage2", name), display_name=label) for name, label in METRICS.items()]
    uncalibrated, calibrated = test("stage2", "ece"), test("stage2", "ece", "calibrated")
    return {
        "Accuracy and calibration": [
            *(wr.ScatterPlot(title=f"{s}: ECE by accuracy", x=test(s, "acc"), y=test(s, "ece")) for s in STAGES),
            wr.ScatterPlot(title="stage 2 against its calibrated self: ECE", x=uncalibrated, y=calibrated),
        ],
        "Head, medium, tail": [bars(metric, stage) for metric in ("acc", "ece") for stage in STAGES],
        "Smoothing factor": [wr.ParallelCoordinatesPlot(title="epsilon sweep", columns=[*epsilons, *ends])],
        "Reliability": [
            wr.MediaBrowser(title=stage, media_keys=[f"figures/{stage}_{kind}"], num_columns=3)
            for stage in STAGES
            for kind in ("reliability", "group_reliability")
        ],
        "Training": [curve(stage, name) for stage in STAGES for name in ("loss", "lr", "val/acc", "val/ece")],
    }


def workspace(entity: str, project: str) -> Any:
    """Build the project's workspace, not saved."""
    import wandb_workspaces.workspaces as ws

    parts = [ws.Section(name=name, panels=panels, is_open=True) for name, panels in sections().items()]
    return ws.Workspace(entity=entity, project=project, name=TITLE, sections=parts)


def report(entity: str, project: str) -> Any:
    """Build the project's report, not saved."""
    import wandb_workspaces.reports.v2 as wr

    blocks: list[Any] = [
        wr.P("Test metrics of the last epoch's model. Calibrated: by a calibrator fitted on the validation part.")
    ]
    for name, panels in sections().items():
        grid = wr.PanelGrid(runsets=[wr.Runset(entity=entity, project=project)], panels=panels)
        blocks += [wr.H2(name), grid]
    return wr.Report(entity=entity, project=project, title=TITLE, blocks=blocks)


def main() -> None:
    """Run the command."""
    outlive_reader()
    parser = argparse.ArgumentParser(prog="python -m lt_calib.dashboard", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--entity", required=True, help="the W&B account or team")
    parser.add_argument("--project", default="lt_calib", help="default: lt_calib")
    args = parser.parse_args()
    try:
        save(args.entity, args.project)
    except InputError as error:
        sys.exit(str(error))


def save(entity: str, project: str) -> None:
    """Save both pages to the service.

    Raises:
        InputError: wandb-workspaces is not installed, or there is no account or network.
    """
    if os.environ.get("WANDB_MODE", "online") != "online" or not has_key():
        raise InputError(
            "the dashboard lives on the W&B service and needs an account: wandb login, or set WANDB_API_KEY, and leave "
            "WANDB_MODE unset. Without W&B, python -m lt_calib.report FOLDER --out DIR makes a page"
        )
    try:
        for page in (workspace(entity, project), report(entity, project)):
            page.save()
            print(page.url)
    except ImportError as error:
        raise InputError("the dashboard needs wandb-workspaces: pip install 'lt_calib[dashboard]'") from error
    except Exception as error:  # the package raises whatever its transport does
        raise InputError(f"W&B did not take the pages: {error}. Check the network, --entity and --project") from error


if __name__ == "__main__":
    main()
