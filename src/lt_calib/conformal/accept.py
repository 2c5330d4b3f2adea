"""Above which confidence a finished run's predictions are accepted: ``lt_calib.calibrate RUN --risk 0.05``."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

import torch
from scipy.stats import binomtest
from torch import Tensor

from lt_calib.conformal.of_run import doubts, read_run
from lt_calib.conformal.risk import Accepted, accept_above
from lt_calib.job.results import write_json

DELTA = 0.05
COLUMNS = 79


def accept_run(folder: Path, risk: float) -> tuple[dict[str, Any], list[str]]:
    """Find each stage's threshold on the held-out part, and measure it on the test set; results.json gets ``accepted``.

    Confidence is the softmax's without a calibrator, which has seen the held-out images. A predicted group's threshold
    is for that group alone, and its promise is one of its own, not one for all groups at once.

    Returns:
        ``{"risk", "delta", stage: {"threshold", "test", "groups": {name: {"threshold", "test"}}}}``, and sentences that
        say what the promise does not hold for.

    Raises:
        InputError: no finished run, or nothing was held out.
        ValueError: risk is not between 0 and 1.
    """
    results, predictions = read_run(folder)
    found: dict[str, Any] = {"risk": risk, "delta": DELTA}
    for stage, splits in predictions.items():
        val, test = splits["val"], splits["test"]
        found[stage] = _of(val, test, risk)
        found[stage]["groups"] = {
            name: _of(predicted(val, classes), predicted(test, classes), risk)
            for name, classes in results["dataset"]["groups"].items()
        }
    write_json(folder / "results.json", results | {"accepted": found})
    return found, doubts(results, predictions)


def predicted(pair: tuple[Tensor, Tensor], classes: list[int]) -> tuple[Tensor, Tensor]:
    """Return logits and targets of the images that are predicted to be of one of the classes."""
    of = torch.isin(pair[0].argmax(1), torch.tensor(classes))
    return pair[0][of], pair[1][of]


def _of(val: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], risk: float) -> dict[str, Any]:
    confidence, wrong = torch.softmax(val[0].double(), dim=1).amax(1), val[0].argmax(1) != val[1]
    threshold = accept_above(confidence, wrong, risk, DELTA)
    taken = Accepted(risk, DELTA, threshold).takes(test[0])
    n, of_wrong = int(taken.sum()), int((test[0].argmax(1) != test[1])[taken].sum())
    about: dict[str, Any] = {"images": len(taken), "accepted": n, "wrong": of_wrong, "low": None, "high": None}
    if n:
        low, high = binomtest(of_wrong, n).proportion_ci(0.95, "exact")
        about |= {"low": float(low), "high": float(high)}
    return {"threshold": threshold, "test": about}


def lines_of(found: Mapping[str, Any], warnings: list[str]) -> list[str]:
    """Say it in lines of at most 80 letters: a line for each stage and predicted group, and one sentence."""
    sure = f"{100 * (1 - found['delta']):g} %"
    head = f"accepted so that at most {100 * found['risk']:g} % of it is wrong ({sure} confidence)"
    lines = [head, f"{'stage, predicted':20}{'threshold':>10}{'of test images':>18}{'wrong, %':>22}"]
    stages = [stage for stage in ("stage1", "stage2") if stage in found]
    for stage in stages:
        for name, about in {"all": found[stage], **found[stage]["groups"]}.items():
            t, test = about["threshold"], about["test"]
            wrong = "-"
            if test["accepted"]:
                share = 100 * test["wrong"] / test["accepted"]
                wrong = f"{share:.1f} ({100 * test['low']:.1f}, {100 * test['high']:.1f})"
            share = f"{test['accepted']} of {test['images']}"
            lines.append(f"{stage[-1] + ' ' + name:20}{'none' if t is None else f'{t:g}':>10}{share:>18}{wrong:>22}")
    last = found[stages[-1]]
    kept = Accepted(found["risk"], found["delta"], last["threshold"])
    said = f"In short: of {last['test']['images']} test images {last['test']['accepted']} are accepted; {kept}"
    return [*lines, *(fill(f"warning: {w}", COLUMNS) for w in warnings), fill(said, COLUMNS)]
