"""The main job: both stages of one experiment.

``python -m lt_calib.run +experiment=cutmix_awabs dataset.if=100``
"""

import logging
import os
import signal
import sys
import traceback
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from lt_calib.closed_pipe import outlive_reader
from lt_calib.files.folder import fresh, leave_nothing, log_into
from lt_calib.files.lock import InUseError, alone_in
from lt_calib.settings.nearest import nearest_names
from lt_calib.settings.objective import check_objective, is_search, objective
from lt_calib.settings.schema import conf_dir, register
from lt_calib.training.processes import position, quiet, rank

log = logging.getLogger("lt_calib.run")  # under python -m, __name__ is "__main__"
WHAT = """Say what to run:
  python -m lt_calib.run +experiment=cutmix_awabs dataset=digits_lt          a minute
  python -m lt_calib.run +experiment=cutmix_awabs dataset=cifar10_lt         hours
  python -m lt_calib.run +experiment=cutmix_awabs dataset=folder dataset.root=DIR
More: python -m lt_calib.run --help; python -m lt_calib.show lists experiments."""


def run(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """Train and test both stages; everything is built and checked before anything trains.

    A step whose product is in the folder already is not done again.

    Args:
        cfg: The composed configuration.
        folder: Where the results go.

    Returns:
        The content of results.json.

    Raises:
        InputError: a setting, file or device is not as needed.
        ValueError: likewise, from the part that the setting belongs to.
    """
    # Imported here: torch and Lightning take seconds, which --help and a typo need not wait for. The sources are hashed
    # before they are imported: after an edit, the hash is older than the code and never newer.
    from lt_calib.cache.sources import sources_of_this_process

    sources_of_this_process()

    from lt_calib.conformal.of_run import add_sets
    from lt_calib.figure.of_run import draw_figures
    from lt_calib.files.checkpoint import remove_remains, sha256_of, write_atomically
    from lt_calib.job import results as out
    from lt_calib.job.build import build, settle
    from lt_calib.job.calibrators import add_calibrated
    from lt_calib.job.cross_fit import fit_folds, held_out
    from lt_calib.job.diverged import warn_of_divergence
    from lt_calib.job.fit import TOLD, predict, training_images
    from lt_calib.job.grid import draw as draw_grid
    from lt_calib.job.screen import print_run
    from lt_calib.job.step import fit_or_load
    from lt_calib.report.of_run import write_page
    from lt_calib.worker import train_together

    cfg = settle(cfg, folder)
    folder.mkdir(parents=True, exist_ok=True)
    first = rank() == 0  # of several processes of a training, the one that writes
    if first:
        remove_remains(folder)
    if (folder / "results.json").exists():
        log.info("%s is finished already: nothing is trained, drawn or logged again.", folder)
        (folder / TOLD).unlink(missing_ok=True)  # of a process that was killed in its last moment
        return print_run(folder, out.read_results(folder)) if first else {}

    job = build(cfg, folder)
    exit_code = 1
    try:
        if first:
            write_atomically(folder / "config.yaml", lambda stream: stream.write(job.config.encode()))
            if listing := job.data.listing():
                out.write_rows(folder / "split.csv", listing)
                job.record["dataset"]["split_sha256"] = sha256_of(folder / "split.csv")
        fits, predictions = {}, {}
        job.folds = fit_folds(job) if job.cross_fit else []
        for stage in job.stages:
            fits[stage.name] = fit_or_load(job, stage, train_together)
            predictions[stage.name] = predict(job, stage) if first else {}
            if first:
                warn_of_divergence(stage, fits[stage.name], *predictions[stage.name]["test"])
            if job.folds:
                point = fits[stage.name].get("point")
                at = job.grid.points.index(point) if job.grid and point else 0
                predictions[stage.name] = {"val": held_out(job, stage.name, at)} | predictions[stage.name]
        if not first:
            return {}

        results = out.assemble(job.record, fits, predictions, job.metrics)
        counts = results["dataset"]["class_counts"]
        out.write_predictions(folder / "predictions.npz", predictions, counts, job.predictions)
        history = [row for fit in fits.values() for row in fit["history"]]
        out.write_rows(folder / "history.csv", history)
        figures: list[Path] = []
        if job.figures:
            last = job.stages[-1]
            loss = last.loss_settings | fits[last.name].get("point", {}) | {"class_counts": last.data.class_counts}
            sheet = training_images(job.stages[0])
            figures = draw_figures(folder / "figures", results, predictions, history, loss, sheet)
            figures += draw_grid(folder, results) if job.grid else []
        results, drawn = add_calibrated(folder, results, job.posthoc, predictions, job.metrics, job.figures)
        results, of_sets = add_sets(folder, results, predictions, job.sets, job.figures)
        if job.figures:
            write_page(folder, results)
        ckpts = {stage.name: stage.ckpt_path for stage in job.stages}
        job.logger.log_results(results, figures + drawn + of_sets, ckpts)
        # results.json, which makes the run a finished one, is written when there is nothing left to do.
        out.write_json(folder / "results.json", results)
        (folder / TOLD).unlink(missing_ok=True)
        exit_code = 0
    finally:
        job.logger.finish(exit_code)
    return print_run(folder, results)


class SigtermExit(SystemExit):
    """Raised where the process is when SIGTERM comes."""


def exit_at_sigterm() -> None:
    """Have SIGTERM end the process at once, wherever it is; as the first process of a container it would do nothing."""

    def end(signum: int, frame: Any) -> None:
        raise SigtermExit(128 + signum)

    signal.signal(signal.SIGTERM, end)


def job(cfg: DictConfig) -> float | None:
    """Run one job of Hydra's; a failure leaves error.txt in its folder and does not disturb the jobs after it."""
    if rank() > 0:
        quiet()
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    if cfg.resume == "off":
        folder = fresh(folder)
        log_into(folder)
    error_file = folder / "error.txt"
    worst: float | None = None  # in a search, what this trial is worth if it fails
    try:
        if is_search(hydra_config):
            direction = hydra_config.sweeper.direction
            worst = check_objective(cfg, str(getattr(direction, "name", direction)))
        with alone_in(folder) if rank() == 0 else nullcontext():
            error_file.unlink(missing_ok=True)
            return objective(cfg, run(cfg, folder), worst)
    except (SystemExit, KeyboardInterrupt) as stop:  # Lightning makes the former of the latter
        by_hand = isinstance(stop, KeyboardInterrupt) or isinstance(stop.__context__, KeyboardInterrupt)
        by = signal.SIGINT if by_hand else signal.SIGTERM
        again = "the same command" if cfg.resume == "auto" else f"resume=auto hydra.run.dir={folder}"
        log.error("%s was stopped (%s); %s resumes after its last finished epoch.", folder, by.name, again)
        raise SystemExit(128 + by) from stop
    except Exception as error:
        finished = (folder / "results.json").exists()  # a refused command leaves a finished run as it was
        if rank() == 0 and not finished and not isinstance(error, InUseError):
            with suppress(OSError):  # the disk may be full
                error_file.write_text(traceback.format_exc())
        log.debug("The job failed.", exc_info=True)
        cause: BaseException = error
        while isinstance(cause, CompactHydraException) and cause.__cause__ is not None:
            cause = cause.__cause__  # Hydra wraps what a part says of its own setting
        if position()[1] > 1:  # a next job of a sweep would meet the other processes in this one
            log.error("%s failed: %s", folder, cause)
            raise SystemExit(1) from error
        if hydra_config.mode is RunMode.MULTIRUN:  # Hydra itself names the first failure only
            log.error("%s failed: %s", folder, cause)
        if worst is not None and not isinstance(error, InUseError):
            return worst
        if isinstance(cause, ValueError | OSError) or isinstance(error, CompactHydraException):
            alone = hydra_config.mode is not RunMode.MULTIRUN and not isinstance(error, InUseError)
            if alone and "HYDRA_FULL_ERROR" not in os.environ:  # which keeps error.txt, with the traceback
                leave_nothing(folder)
            raise CompactHydraException(str(cause)) from None
        raise


def main() -> None:
    """Run the command."""
    outlive_reader()
    if set(sys.argv[1:]) <= {"-m", "--multirun"}:  # conf/config.yaml alone is 200 epochs on CIFAR-100, of no method
        print(WHAT, file=sys.stderr)
        sys.exit(2)
    register()
    exit_at_sigterm()
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # parts of one's own lie there, for the installed command too
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(job)()
    except SigtermExit:  # before a job, or between two of them
        print("Stopped (SIGTERM); the same command runs what is not finished.", file=sys.stderr)
        raise
    except SystemExit as end:
        if end.code == 1:
            for line in nearest_names(sys.argv[1:]):
                print(line, file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
