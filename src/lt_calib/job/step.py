"""One step of a job: a stage is trained, or taken from where it is."""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lt_calib.cache.share import shared_stage1
from lt_calib.errors import InputError
from lt_calib.files.checkpoint import load_stage, save_stage, sha256_of
from lt_calib.job.fit import begin, fit, predict, tell
from lt_calib.job.grid import fit_grid
from lt_calib.job.parts import Job, Stage
from lt_calib.settings.renamed import NEW, renamed
from lt_calib.training.processes import position, rank

log = logging.getLogger(__name__)

Together = Callable[[Path, int], None]


def fit_or_load(job: Job, stage: Stage, together: Together | None = None) -> dict[str, Any]:
    """Train a stage and write its checkpoint, or load the one that is there.

    A stage that was killed resumes after the last epoch that it finished.

    Args:
        job: Built.
        stage: One of its stages; those before have been fitted.
        together: ``(folder, processes)`` trains by several processes what is not trained yet; None where this is one
            of them.

    Returns:
        What is kept beside the weights: ``{"epochs", "seconds", "images_per_second", "history", ...}``.
    """
    trained = False
    if not stage.given:
        shared = (job.cache_root, job.cache_settings, job.made_by, stage.ckpt_path)
        with shared_stage1(*shared) if stage.name == "stage1" and stage.module.max_epochs else nullcontext():
            if not stage.ckpt_path.exists() and together and job.trainer.processes > position()[1]:
                together(job.folder, job.trainer.processes)
            elif not stage.ckpt_path.exists():
                begin(job, stage)
                _train(job, stage)
                trained = True
    if trained and rank() > 0:
        return {}
    about = load_stage(stage.ckpt_path, stage.module.backbone, stage.module.classifier, stage.data.facts)
    if about.get("stage", stage.name) != stage.name:
        raise InputError(f"checkpoint {stage.ckpt_path} is of {about['stage']}, and {stage.name} is wanted")
    if stage.given:
        kept = renamed(about.get("method", {}))
        here = stage.method if "stage" in about else {k: v for k, v in stage.method.items() if not k.startswith(NEW)}
        refuse_other_method(stage.ckpt_path, kept, here)
        about["sha256"] = sha256_of(stage.ckpt_path)  # by which the run knows it again
    if not trained:
        log.info("Stage %s is taken from %s (%d epochs).", stage.name[-1], stage.ckpt_path, about["epochs"])
        for row in about["history"]:
            tell(job, row)
    classifier = stage.module.classifier
    settled = {name: round(float(getattr(classifier, name)), 6) for name in getattr(classifier, "settles", ())}
    if settled:
        about["classifier"] = settled
        log.info("Stage %s: %s.", stage.name[-1], ", ".join(f"{name} {value:g}" for name, value in settled.items()))
    return about


def _train(job: Job, stage: Stage) -> None:
    if job.grid is not None and stage.name == "stage2":
        fit_grid(job, stage, predict(job, job.stages[0]))
        return
    about = fit(job, stage, stage.module)
    if rank() == 0:
        save_stage(stage.ckpt_path, stage.module.backbone, stage.module.classifier, about)
        stage.part_path.unlink(missing_ok=True)


def refuse_other_method(path: Path, kept: dict[str, Any], here: dict[str, Any]) -> None:
    """Refuse a given stage 1 that was trained otherwise than the command says: results.json would tell of another one.

    What stage 2 corrects for depends on it too. A setting that only one of both versions has is passed over, unless it
    is a part's name; so is all of it where the checkpoint says nothing.

    Raises:
        InputError: with the settings that differ.
    """
    of_both = {k for k in kept.keys() & here.keys() if kept[k] != here[k]}
    parts = {k for k in kept.keys() ^ here.keys() if k.endswith("._target_")}
    if kept and (of_both or parts):
        differ = [f"{k} was {kept.get(k, 'not set')}, here it is {here.get(k, 'not set')}" for k in of_both | parts]
        raise InputError(
            f"checkpoint {path} is of a stage 1 that was trained otherwise than this command says: "
            f"{'; '.join(sorted(differ))}. Set them as it was trained with"
        )
