"""For which prior a finished run's own predictions are, as its settings say."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from hydra.utils import get_object
from omegaconf import DictConfig
from torch import Tensor

from lt_calib.errors import InputError
from lt_calib.posthoc.base import Calibrator
from lt_calib.settings.check import refuse_untrusted


class Own(NamedTuple):
    """The prior r (K,) float64 of a run's own predictions, and why it is that one."""

    prior: Tensor
    why: str

    def __str__(self) -> str:
        """Say what r is, and why."""
        k = len(self.prior)
        if torch.allclose(self.prior, torch.full_like(self.prior, 1 / k), rtol=1e-4):
            return f"a uniform prior: {self.why}"
        low, high = (100 * float(end) for end in self.prior.aminmax())
        return f"a prior of {low:.2g} % to {high:.2g} % per class: {self.why}"


def own_prior(cfg: DictConfig, dataset: Mapping[str, Any], stage: str, trust: bool = False) -> Own:
    """Find r, for which softmax(z) of a stage is the posterior: r_c in proportion to pi_c w_c / a_c.

    pi are the class frequencies of the stage's batches (the last epoch's), w the loss's class weights, a the prior that
    the loss corrects for: r is uniform for Balanced Softmax and AWABS, and for class-balanced batches; n / N for plain
    cross-entropy. Post-hoc logit adjustment leaves r^(1 - tau) of stage 1's; tau-normalization and nearest class mean
    are taken as uniform, which they are about. So are labels that mixing moves (CMO, Remix, UniMix), of which pi knows
    nothing; LDAM's margins and a focal loss leave no posterior, and pi stands for them.

    Args:
        cfg: Of the run's config.yaml.
        dataset: The field of results.json.
        stage: ``"stage1"`` or ``"stage2"``.
        trust: Whether sampler and loss from outside the package may be built.

    Raises:
        InputError: the members of an average have none in common; sampler or loss is from outside the package and not
            trusted, or draws a class never.
    """
    if "own_prior" in dataset:  # of an average of runs, whose members have said it
        kept = dataset["own_prior"][stage]
        if kept is None:
            raise InputError("its members' predictions are for different priors, and their average is for none")
        return Own(torch.tensor(kept["prior"], dtype=torch.float64), kept["why"])
    classifier = cfg.stage2.get("classifier") if stage == "stage2" else None
    kind = get_object(classifier._target_) if classifier is not None else None
    if classifier is not None and getattr(kind, "balances", False):
        left = 1 - float(classifier.get("tau", 1.0)) if hasattr(kind, "adjusts") else 0.0
        before = own_prior(cfg, dataset, "stage1", trust).prior.pow(left)
        return Own(before / before.sum(), f"its classifier is {classifier._target_.rsplit('.', 1)[-1]}")
    node = cfg[stage]
    for part in ("sampler", "loss"):
        refuse_untrusted(node[part], f"{stage}.{part} in config.yaml", trust)
    sampler, loss = _built(cfg, stage, dataset)
    for part in (sampler, *loss.modules()):
        if hasattr(part, "set_epoch"):
            part.set_epoch(max(0, node.max_epochs - 1))
    r = sampler.prior.double()
    said = f"batches by {type(sampler).__name__}, {type(loss).__name__}"
    for part in loss.modules():
        own = dict(part.named_buffers(recurse=False))
        if "estimate" in own:  # it follows what is drawn
            r = torch.ones_like(r)
        r = r * own.get("weights", torch.ones(1)).double() / own.get("log_prior", torch.zeros(1)).double().exp()
    if not bool((r > 0).all()):
        raise InputError(
            f"{stage} draws a class never: there is no prior that its predictions could be re-weighed from"
        )
    return Own(r / r.sum(), f"trained on {said}")


def run_prior(
    folder: Path,
    cfg: DictConfig,
    results: Mapping[str, Any],
    stage: str,
    calibrator: Calibrator | None,
    trust: bool = False,
) -> Own:
    """Find the prior that a run's predictions are for: of a calibrator that may change them what it was fitted to.

    Others, a temperature say, leave the order of the classes, and with it :func:`own_prior`.

    Args:
        folder: The run's.
        cfg: Of its config.yaml.
        results: Of its results.json.
        stage: ``"stage1"`` or ``"stage2"``.
        calibrator: The stage's, where it has one.
        trust: As for :func:`own_prior`.
    """
    if calibrator is None or calibrator.keeps_predictions:
        return own_prior(cfg, results["dataset"], stage, trust)
    weighed = results["calibrated"][stage].get("prior")
    if weighed is not None:
        fitted = torch.tensor(weighed, dtype=torch.float64)
        fitted = fitted.clamp(min=float(fitted[fitted > 0].min()))  # of a class without a held-out row nothing is known
        return Own(fitted, "its calibrator was fitted to images weighed to that")
    fitted = fitted_to(folder, len(results["dataset"]["class_counts"]))
    return Own(fitted, "its calibrator was fitted to that of the held-out images")


def fitted_to(folder: Path, k: int) -> Tensor:
    """Return the class frequencies (K,) float64 of a run's held-out part; of a class without an image half an image's.

    Args:
        folder: The run's.
        k: K.
    """
    with np.load(folder / "predictions.npz", allow_pickle=False) as arrays:
        counts = torch.bincount(torch.from_numpy(arrays["val_targets"]), minlength=k).double().clamp(min=0.5)
    return counts / counts.sum()


def _built(cfg: DictConfig, stage: str, dataset: Mapping[str, Any]) -> tuple[Any, Any]:
    from lt_calib.job.build_stages import build_sampler_and_loss

    counts = dataset.get("resampled_counts") or dataset["class_counts"]
    if stage == "stage2" and cfg.resample.get("space") == "features":
        counts = [max(counts)] * len(counts)  # all resampling makes the classes equal
    targets = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    data: Any = SimpleNamespace(num_classes=len(counts), class_counts=counts, targets=lambda split: targets)
    return build_sampler_and_loss(cfg, stage, data)
