"""The predictions of finished runs averaged: a folder that reads like a run's."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from sklearn.metrics import roc_auc_score
from torch import Tensor

from lt_calib.ensemble.average import Average, disagreement
from lt_calib.ensemble.load import MEMBERS, last_checkpoint
from lt_calib.errors import InputError
from lt_calib.figure.of_run import draw_figures
from lt_calib.files.checkpoint import write_atomically
from lt_calib.job.build_prior import Own, own_prior
from lt_calib.job.parts import Splits
from lt_calib.job.results import read_predictions, read_results, with_intervals, write_json, write_predictions
from lt_calib.measure.binning import N_BINS
from lt_calib.measure.evaluate import evaluate
from lt_calib.settings.check import make, refuse_untrusted
from lt_calib.settings.schema import register
from lt_calib.settings.table import hash_of

FILES = ("results.json", "predictions.npz", "config.yaml")
ALIKE = (
    "name", "imbalance_factor", "val_per_class", "val_fraction", "split_seed", "class_names", "class_counts",
    "resampled_counts", "groups", "image_shape", "split_sha256",
)  # fmt: skip


def average_runs(
    folders: Sequence[Path], out: Path, kind: str = "probabilities", trust: bool = False
) -> dict[str, Any]:
    """Average each stage's predictions over runs, without their calibrators, and write a run's files into ``out``.

    Args:
        folders: Two finished runs or more, of the same data and split.
        out: Of the average; empty or not there yet.
        kind: ``"probabilities"`` or ``"logits"``, see :class:`lt_calib.ensemble.average.Average`.
        trust: Whether metrics, samplers and losses from outside the package, which the runs name, may be built.

    Returns:
        The content of results.json, with ``"ensemble"``: members, and for each stage their mean metrics and how well
        their disagreement tells wrong predictions from right ones (AUROC, beside that of the confidence).

    Raises:
        InputError: fewer than two runs, one that is not finished or is named twice, or runs of other data.
    """
    register()
    average, runs = Average(kind), [_read(folder) for folder in folders]
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        raise InputError("name two runs or more, each once: what is averaged are different models")
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty: name another folder with --out")
    _refuse_others(folders, runs)
    first, predictions = runs[0][0], _averaged(average, [predicted for _, predicted in runs])
    cfg: Any = OmegaConf.load(folders[0] / "config.yaml")
    refuse_untrusted(cfg.metric, str(folders[0] / "config.yaml"), trust)
    metrics = {name: make(cfg, f"metric.{name}") for name in cfg.metric}
    groups, n_bins = first["dataset"]["groups"], first.get("n_bins", N_BINS)
    results = {**first, **_named([results for results, _ in runs]), "stage1": None, "stage2": None, "calibrated": None}
    for added in ("conformal", "accepted"):
        results.pop(added, None)
    priors = {stage: _prior(folders, [results for results, _ in runs], stage, trust) for stage in predictions}
    results["dataset"] = {**first["dataset"], "own_prior": priors}
    about: dict[str, Any] = {"of": kind, "members": [str(folder.resolve()) for folder in folders]}
    for stage, splits in predictions.items():
        measured = {split: evaluate(*pair, groups, metrics) for split, pair in splits.items()}
        seconds = sum(results[stage]["seconds"] for results, _ in runs)
        kept = {"epochs": first[stage]["epochs"], "seconds": seconds}
        results[stage] = kept | measured | with_intervals(*splits["test"], n_bins, groups, metrics)
        about[stage] = _members([predicted[stage]["test"] for _, predicted in runs], splits["test"]) | {
            "mean_of_members": {
                name: sum(results[stage]["test"][name] for results, _ in runs) / len(runs)
                for name, value in measured["test"].items()
                if value is not None and all(results[stage]["test"].get(name) is not None for results, _ in runs)
            }
        }
    results["ensemble"] = about
    out.mkdir(parents=True, exist_ok=True)
    members = [{"folder": str(folder.resolve()), "sha256": last_checkpoint(folder)} for folder in folders]
    text = json.dumps({"of": kind, "members": members}, indent=2) + "\n"
    write_atomically(out / MEMBERS, lambda stream: stream.write(text.encode()))
    shutil.copyfile(folders[0] / "config.yaml", out / "config.yaml")
    write_predictions(out / "predictions.npz", predictions, first["dataset"]["class_counts"])
    if cfg.figures:
        draw_figures(out / "figures", results, predictions)
    write_json(out / "results.json", results)
    return results


def _read(folder: Path) -> tuple[dict[str, Any], Mapping[str, Splits]]:
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder} holds no finished run: {', '.join(missing)} is missing")
    return read_results(folder), read_predictions(folder / "predictions.npz")


def _refuse_others(folders: Sequence[Path], runs: Sequence[tuple[dict[str, Any], Mapping[str, Splits]]]) -> None:
    (first, predictions), stage = runs[0], max(runs[0][1])
    for folder, (results, found) in zip(folders[1:], runs[1:], strict=True):
        if found.keys() != predictions.keys():
            raise InputError(f"{folder} has {', '.join(found)}, and {folders[0]} has {', '.join(predictions)}")
        wrong = [key for key in ALIKE if results["dataset"].get(key) != first["dataset"].get(key)]
        wrong += ["cross_fit"] * (results.get("cross_fit") != first.get("cross_fit"))
        same = found[stage].keys() == predictions[stage].keys() and all(
            torch.equal(found[stage][split][1], predictions[stage][split][1]) for split in found[stage]
        )
        if wrong or not same:
            what = f"dataset.{wrong[0]}" if wrong else "images in another order, or others,"
            raise InputError(f"{folder} has another {what} than {folders[0]}: only runs of the same data are averaged")


def _averaged(average: Average, of_runs: Sequence[Mapping[str, Splits]]) -> dict[str, dict[str, tuple[Tensor, Tensor]]]:
    found: dict[str, dict[str, tuple[Tensor, Tensor]]] = {}
    for stage, splits in of_runs[0].items():
        for split, (_, targets) in splits.items():
            log_p = _log_p([run[stage][split] for run in of_runs])
            found.setdefault(stage, {})[split] = average(log_p), targets
    return found


def _log_p(pairs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    return torch.stack([torch.log_softmax(logits.float(), dim=1) for logits, _ in pairs], dim=1)


def _members(pairs: Sequence[tuple[Tensor, Tensor]], averaged: tuple[Tensor, Tensor]) -> dict[str, Any]:
    apart, (logits, targets) = disagreement(_log_p(pairs)), averaged
    wrong = logits.argmax(dim=1) != targets
    about: dict[str, Any] = {"disagreement": float(apart.mean()), "auroc_of_errors": None, "auroc_of_confidence": None}
    if bool(wrong.any()) and not bool(wrong.all()):
        unsure = -torch.softmax(logits, dim=1).amax(dim=1)
        about["auroc_of_errors"] = float(roc_auc_score(wrong.numpy(), apart.numpy()))
        about["auroc_of_confidence"] = float(roc_auc_score(wrong.numpy(), unsure.numpy()))
    return about


def _named(of_runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = list(dict.fromkeys(results["name"] for results in of_runs))
    name = f"{len(of_runs)} x {names[0]}" if len(names) == 1 else "average of " + ", ".join(names)
    members = sorted([results["settings"], results["seed"]] for results in of_runs)
    return {"name": name, "experiment": name, "settings": hash_of(members), "changed": {}}


def _prior(
    folders: Sequence[Path], of_runs: Sequence[Mapping[str, Any]], stage: str, trust: bool
) -> dict[str, Any] | None:
    """Return the prior that all members' predictions are for; None where they are for different ones."""
    found: list[Own] = []
    for folder, results in zip(folders, of_runs, strict=True):
        cfg: Any = OmegaConf.load(folder / "config.yaml")
        try:
            found.append(own_prior(cfg, results["dataset"], stage, trust))
        except InputError:
            return None
    if any(float((own.prior - found[0].prior).abs().sum()) > 0.02 for own in found):
        return None
    return {"prior": found[0].prior.tolist(), "why": f"its members, {found[0].why}"}
