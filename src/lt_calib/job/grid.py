"""A grid over stage 2's settings in one pass: ``+grid=eps``; grid.json, grid.npz and the points' map."""

import json
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lt_calib.errors import InputError
from lt_calib.figure.grid_map import grid_map
from lt_calib.figure.style import save
from lt_calib.files.checkpoint import save_stage, write_atomically
from lt_calib.job.fit import fit, predict
from lt_calib.job.parts import Job, Splits, Stage
from lt_calib.job.record import RESULTS_SCHEMA, factor_of
from lt_calib.job.results import write_json
from lt_calib.measure.bootstrap import intervals_of_many
from lt_calib.measure.evaluate import evaluate
from lt_calib.measure.per_class import per_class
from lt_calib.stage.classifier import ClassifierModule
from lt_calib.stage.grid import GridModule
from lt_calib.training.processes import rank

log = logging.getLogger(__name__)


def fit_grid(job: Job, stage: Stage, stage1: Splits) -> None:
    """Train all points in one pass; write grid.json, grid.npz and last the chosen point's stage2.ckpt.

    A point whose loss, weights or logits are not finite has ``"diverged"``, the epoch, in the place of its results.

    Args:
        job: With a grid.
        stage: Stage 2 at the experiment's own settings; the chosen point's weights go into its classifier.
        stage1: Stage 1's predictions of each split.

    Raises:
        ValueError: the experiment's own settings diverged, and no other point is to be chosen.
    """
    grid, own = job.grid, stage.module
    assert grid is not None
    assert isinstance(own, ClassifierModule)
    points = grid.points
    module = GridModule(own, grid.losses, grid.lr_factors, grid.weight_decays)
    log.info(
        "Grid: %d points of stage 2 in one pass, the experiment's own first; pairs with eps_tail > eps_head are left "
        "out. The loss that is shown is their mean.",
        len(points),
    )
    about = fit(job, stage, module)

    if rank() > 0:
        return
    start = time.perf_counter()
    logits: dict[str, list[Tensor]] = {}
    results: list[dict[str, Any]] = [{"point": k, "settings": point} for k, point in enumerate(points)]
    diverged = {k: epoch for k, epoch in enumerate(module.diverged.tolist()) if epoch}
    for split, (features, _) in predict(job, replace(stage, module=module.cpu())).items():
        module.cpu()
        logits[split] = [module.point_logits(k, features) for k in range(len(points))]
        diverged = {k: about["epochs"] for k, z in enumerate(logits[split]) if not z.isfinite().all()} | diverged
    well = [k for k in range(len(points)) if k not in diverged]
    for split, every in logits.items():
        for k in well:
            results[k][split] = evaluate(every[k], job.data.targets(split), job.data.groups, job.metrics)
    targets = job.data.targets("test")
    intervals_of = intervals_of_many([logits["test"][k] for k in well], targets) if well else []
    for k, intervals in zip(well, intervals_of, strict=True):
        probs = torch.softmax(logits["test"][k], dim=1)
        results[k] |= {"test_intervals": intervals, "test_per_class": per_class(probs, targets, job.record["n_bins"])}
    evaluation_seconds = time.perf_counter() - start
    for k, epoch in diverged.items():
        results[k] |= {"diverged": epoch}
        log.warning("Grid: point %d diverged in epoch %d and has no result: %s", k, epoch, points[k])
    chosen: int | None = None if 0 in diverged else 0
    if grid.select and well:
        chosen = min(well, key=lambda k: results[k]["val"]["nll"])
        log.info("Grid: point %d has the least NLL on the validation part: %s", chosen, points[chosen])

    arrays: dict[str, Any] = {
        "point_logits": np.stack([z.clamp(-65504, 65504).half().numpy() for z in logits["test"]]),
        "stage1_test_logits": stage1["test"][0].half().numpy(),
        "test_targets": targets.numpy(),
    }
    write_atomically(job.folder / "grid.npz", lambda stream: np.savez(stream, **arrays))
    kept = {"schema": RESULTS_SCHEMA, "chosen": chosen, "select": grid.select, "points": results}
    times = {"seconds": round(about["seconds"], 3), "evaluation_seconds": round(evaluation_seconds, 3)}
    write_json(job.folder / "grid.json", kept | times)
    if chosen is None:
        raise ValueError(
            f"stage 2 diverged at the experiment's own settings in epoch {diverged[0]}. Take a lower stage2.lr; "
            f"{job.folder / 'grid.json'} has the other points, of which grid.select=nll chooses one"
        )
    module.adopt(chosen)
    about |= {"point": points[chosen]}
    save_stage(stage.ckpt_path, module.backbone, module.classifier, about)
    stage.part_path.unlink(missing_ok=True)


def read_grid(folder: Path) -> dict[str, Any]:
    """Read grid.json.

    Raises:
        InputError: there is none.
    """
    path = folder / "grid.json"
    if not path.exists():
        raise InputError(f"{path} is not there; a run with +grid=eps, say, leaves one")
    return json.loads(path.read_text())


def draw(folder: Path, results: dict[str, Any]) -> list[Path]:
    """Draw the grid's map into the run's figures."""
    found, data = read_grid(folder), results["dataset"]
    title = f"{results['name']}, {data['name']}, IF {factor_of(data)}, test set"
    return save(grid_map(found["points"], found["chosen"], title), folder / "figures" / "grid")[:1]
