"""A grid over stage 2's settings in one pass: ``+grid=eps``; grid.json, grid.npz and the points' map."""

import json
import logging
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from lt_calib.errors import InputError
from lt_calib.figure.grid_map import grid_map
from lt_calib.figure.style import save
from lt_calib.files.checkpoint import save_stage, write_atomically
from lt_calib.job.cross_fit import held_out
from lt_calib.job.fit import fit, predict
from lt_calib.job.parts import Job, Splits, Stage
from lt_calib.job.record import RESULTS_SCHEMA, factor_of
from lt_calib.job.results import halved, write_json
from lt_calib.measure.bootstrap import intervals_of_scores, picture_scores
from lt_calib.measure.evaluate import evaluate
from lt_calib.measure.per_class import per_class
from lt_calib.metric.nll_balanced import balanced_nll
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
    module = GridModule(own, grid.losses, grid.rates, grid.lr_factors, grid.weight_decays)
    axes = (f"{axis} {', '.join(map(str, dict.fromkeys(point[axis] for point in points)))}" for axis in points[0])
    log.info(
        "Grid: %d points of stage 2 in one pass, the experiment's own first: %s; pairs with eps_tail > eps_head are "
        "left out. The loss that is shown is their mean.",
        len(points), "; ".join(axes),
    )  # fmt: skip
    about = fit(job, stage, module)

    if rank() > 0:
        return
    start = time.perf_counter()
    results: list[dict[str, Any]] = [{"point": k, "settings": point} for k, point in enumerate(points)]
    diverged = {k: epoch for k, epoch in enumerate(module.diverged.tolist()) if epoch}
    features = {split: x for split, (x, _) in predict(job, replace(stage, module=module.cpu())).items()}
    module.cpu()
    targets = job.data.targets("test")
    scores, held = {}, dict[int, float]()
    for k in range(len(points)):  # one after the other: the logits of all may not fit into memory
        predicted = {split: (module.point_logits(k, x), job.data.targets(split)) for split, x in features.items()}
        if job.folds:
            predicted["val"] = held_out(job, stage.name, k)
        if not all(bool(z.isfinite().all()) for z, _ in predicted.values()):
            diverged.setdefault(k, about["epochs"])
        if k in diverged:
            continue
        for split, pair in predicted.items():
            results[k][split] = evaluate(*pair, job.data.groups, job.metrics)
        logits = predicted["test"][0]
        results[k]["test_per_class"] = per_class(torch.softmax(logits, dim=1), targets, job.record["n_bins"])
        scores[k] = picture_scores(logits, targets)
        if grid.select:
            held[k] = float(balanced_nll(*predicted["val"]))
    well = list(scores)
    for k, intervals in zip(well, intervals_of_scores(list(scores.values())) if well else [], strict=True):
        results[k]["test_intervals"] = intervals
    evaluation_seconds = time.perf_counter() - start
    for k, epoch in diverged.items():
        results[k] |= {"diverged": epoch}
        log.warning("Grid: point %d diverged in epoch %d and has no result: %s", k, epoch, points[k])
    chosen: int | None = None if 0 in diverged else 0
    if grid.select and well:
        least = chosen = min(held, key=lambda k: held[k])
        log.info("Grid: point %d has the least NLL, %.4f, of what is held out, each class weighing the same: %s",
                 least, held[least], points[least])  # fmt: skip

    def arrays() -> Iterator[tuple[str, np.ndarray]]:
        yield from (("stage1_test_logits", halved(stage1["test"][0])), ("test_targets", targets.numpy()))
        for k in range(len(points)):
            yield f"point{k}_test_logits", halved(module.point_logits(k, features["test"]))

    write_atomically(job.folder / "grid.npz", lambda stream: write_arrays(stream, arrays()))
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


def write_arrays(stream: IO[bytes], arrays: Iterator[tuple[str, np.ndarray]]) -> None:
    """Write what ``np.load`` reads, one array after the other, so that they need not all be there at a time."""
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array)


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
