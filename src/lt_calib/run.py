"""The main job: both stages of one experiment.

``python -m lt_calib.run +experiment=cutmix_awabs dataset.if=100``
"""

import logging
import os
import signal
import sys
import traceback
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from lt_calib import ranks
from lt_calib.check import check_keys
from lt_calib.config import conf_dir, refuse_other_settings, register
from lt_calib.folder import fresh, log_into
from lt_calib.lock import InUseError, alone_in
from lt_calib.search import check_objective, objective
from lt_calib.start import nearest_names

log = logging.getLogger("lt_calib.run")  # under python -m, __name__ is "__main__"


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
    # Imported here: torch and Lightning take seconds, which --help and a typo need not wait for.
    from lt_calib.cache.share import shared_stage1, sources_of_this_process

    sources_of_this_process()  # before their import: after an edit, the hash is older than the code and never newer

    import torch

    from lt_calib import build, grid
    from lt_calib import results as out
    from lt_calib.calibrate import add_calibrated, refuse_without_validation
    from lt_calib.checkpoint import remove_remains, write_atomically
    from lt_calib.figure.of_run import draw_figures
    from lt_calib.fit import fit_or_load, predict
    from lt_calib.logger.none import NoLogger
    from lt_calib.trainer import compile_in_place, resolve_precision

    cfg = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[assignment]
    check_keys(cfg)
    # What auto is here is kept: on another machine the run goes on in the same precision, or says that it cannot.
    cfg.trainer.precision = resolve_precision(cfg.trainer.precision, cfg.trainer.accelerator)
    refuse_other_settings(folder, cfg)
    first = ranks.rank() == 0  # of several processes of a training, the one that writes
    if first:
        remove_remains(folder)
    if (folder / "results.json").exists():
        log.info("%s is finished already: nothing is trained, drawn or logged again.", folder)
        results = out.read_results(folder)
        if first:
            show(folder, results)
        return results

    logger = build.build_logger(cfg, folder) if first else NoLogger(config={}, folder=folder, group="", tags=[])
    exit_code = 1
    try:
        trainer = build.build_trainer(cfg, 0, [])  # a device that is not there is found before the data are read
        if cfg.trainer.compile:
            torch.compiler.reset()  # drops what was compiled for the networks of a sweep's earlier jobs
        torch.manual_seed(cfg.seed)  # for the weights; every other draw has a generator of its own
        data = build.build_data(cfg)
        metrics = instantiate(cfg.metric)
        backbone, classifier = build.build_network(cfg, data.num_classes)
        sampler1, loss1 = build.build_sampler_and_loss(cfg, data, 1)
        stage1 = build.build_stage1(cfg, backbone, classifier, loss1)
        two_stages = "_target_" in cfg.stage2
        if two_stages:
            build.check_stage2(cfg, data, backbone, classifier)
        if cfg.grid is not None:
            grid.build_losses(cfg, data, grid.points_of(cfg))
        if "_target_" in cfg.posthoc:
            refuse_without_validation("val" in data.splits)
            instantiate(cfg.posthoc)(data.num_classes)
        if cfg.trainer.compile:  # loaded weights run in it too, or they would give other last digits than trained ones
            compile_in_place(backbone, trainer.strategy.root_device)
        if first:
            write_atomically(folder / "config.yaml", lambda stream: stream.write(OmegaConf.to_yaml(cfg).encode()))

        ckpt_path = Path(cfg.stage1.ckpt_path or folder / "stage1.ckpt")
        with ExitStack() as together:
            with shared_stage1(cfg, data, ckpt_path):
                # Begun inside: while this process waits at the cache's door, there are no others that would time out.
                together.enter_context(ranks.together(cfg, folder))
                fits = {"stage1": fit_or_load(cfg, data, stage1, sampler1, ckpt_path, logger, metrics)}
            predictions = {"stage1": predict(cfg, data, stage1)}
            if two_stages:
                stage2, sampler2, data2 = build.build_stage2(cfg, data, backbone, classifier)
                if cfg.grid is None or (folder / "stage2.ckpt").exists():
                    fits["stage2"] = fit_or_load(cfg, data2, stage2, sampler2, folder / "stage2.ckpt", logger, metrics)
                else:
                    fits["stage2"] = grid.fit_grid(
                        cfg, data2, stage2, sampler2, folder, logger, metrics, predictions["stage1"]
                    )
        if not first:
            return {}
        if two_stages:
            predictions["stage2"] = predict(cfg, data, stage2)

        results = out.assemble(cfg, data, fits, predictions, metrics, build.build_trainer(cfg, 0, []))
        out.write_predictions(folder / "predictions.npz", predictions, data.class_counts)
        history = [row for fit in fits.values() for row in fit["history"]]
        out.write_history(folder / "history.csv", history)
        figures: list[Path] = []
        if cfg.figures:
            sheet = build.training_pictures(cfg, data)
            loss = cfg.stage2.loss if two_stages else cfg.stage1.loss
            if cfg.grid is not None:
                loss = grid.at_point(cfg, fits["stage2"]["point"]).stage2.loss
            figures = draw_figures(folder / "figures", results, predictions, history, loss, sheet)
            if cfg.grid is not None:
                figures += grid.draw(folder, results)
        results, drawn = add_calibrated(folder, results, cfg.posthoc, predictions, metrics, cfg.figures)
        # results.json, which makes the run a finished one, is written when there is nothing left to do.
        ckpts = {"stage1": ckpt_path, "stage2": folder / "stage2.ckpt"}
        logger.log_results(results, figures + drawn, {stage: ckpts[stage] for stage in fits})
        exit_code = 0
    finally:
        logger.finish(exit_code)
    out.write_json(folder / "results.json", results)
    show(folder, results)
    return results


def show(folder: Path, results: dict[str, Any]) -> None:
    """Print both stages' table and where the figures are."""
    from lt_calib.screen import print_table

    print_table(results)
    for figure in sorted((folder / "figures").glob("*.png")):
        log.info("%s", os.path.relpath(figure))


class ToldToEnd(SystemExit):
    """Raised where the process is when SIGTERM comes."""


def end_when_told() -> None:
    """Have SIGTERM end the process at once, wherever it is; as the first process of a container it would do nothing."""

    def end(signum: int, frame: Any) -> None:
        raise ToldToEnd(128 + signum)

    signal.signal(signal.SIGTERM, end)


def job(cfg: DictConfig) -> float | None:
    """Run one job of Hydra's; a failure leaves error.txt in its folder and does not disturb the jobs after it."""
    if ranks.rank() > 0:
        ranks.quiet()
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    if cfg.resume == "off":
        folder = fresh(folder)
        log_into(folder)
    error_file = folder / "error.txt"
    try:
        if "optuna" in str(hydra_config.sweeper.get("_target_")):
            check_objective(cfg, str(getattr(hydra_config.sweeper.direction, "name", hydra_config.sweeper.direction)))
        with alone_in(folder) if ranks.rank() == 0 else nullcontext():
            error_file.unlink(missing_ok=True)
            return objective(cfg, run(cfg, folder))
    except (SystemExit, KeyboardInterrupt) as stop:  # Lightning makes the former of the latter
        by_hand = isinstance(stop, KeyboardInterrupt) or isinstance(stop.__context__, KeyboardInterrupt)
        told = signal.SIGINT if by_hand else signal.SIGTERM
        again = "the same command" if cfg.resume == "auto" else f"resume=auto hydra.run.dir={folder}"
        log.error("%s was told to end (%s); %s goes on after its last finished epoch.", folder, told.name, again)
        raise SystemExit(128 + told) from stop
    except Exception as error:
        finished = (folder / "results.json").exists()  # a refused command leaves a finished run as it was
        if ranks.rank() == 0 and not finished and not isinstance(error, InUseError):
            with suppress(OSError):  # the disk may be full
                error_file.write_text(traceback.format_exc())
        log.debug("The job failed.", exc_info=True)
        cause: BaseException = error
        while isinstance(cause, CompactHydraException) and cause.__cause__ is not None:
            cause = cause.__cause__  # Hydra wraps what a part says of its own setting
        if ranks.position()[1] > 1:  # a next job of a sweep would meet the other processes in this one
            log.error("%s failed: %s", folder, cause)
            raise SystemExit(1) from error
        multirun = hydra_config.mode is RunMode.MULTIRUN
        if multirun:  # Hydra itself names the first failure only
            log.error("%s failed: %s", folder, cause)
        if isinstance(cause, ValueError | OSError) or isinstance(error, CompactHydraException):
            raise CompactHydraException(str(cause)) from None
        raise


def main() -> None:
    """Run the command."""
    register()
    end_when_told()
    logging.raiseExceptions = False  # a full disk would else print a traceback for each line of the log
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(job)()
    except ToldToEnd:  # before a job, or between two of them
        print("Told to end (SIGTERM); the same command runs what is not finished.", file=sys.stderr)
        raise
    except SystemExit as end:
        if end.code == 1:
            for line in nearest_names(sys.argv[1:]):
                print(line, file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
