"""Whether two methods differ beyond noise: that of the seeds they were trained with, and that of the test pictures."""

import math
import statistics
from collections.abc import Sequence

import torch
from scipy.stats import t

from lt_calib.measure.bootstrap import picture_scores, resampled_means
from lt_calib.report.group import Run
from lt_calib.report.read import logits_of

LEVEL = 0.05
TESTED = {"acc": True, "nll": False}  # whether higher is better; the ECE has no paired test: it is never in bold


def beyond_noise(
    one: Sequence[Run], other: Sequence[Run], stage: str, metric: str, split: str = "test", against: str = ""
) -> bool:
    """Say whether one method's runs are better than another's of the same seeds beyond noise, each of p < 0.05.

    Two tests must agree: the t test of the differences of the common seeds, since the same method trained twice differs
    by more than its pictures explain, and the bootstrap over the pictures of their mean. Where there are not two common
    seeds with their logits, nothing is known, and the answer is no.

    Args:
        one: Runs of a method.
        other: Runs of another one.
        stage: ``"stage1"`` or ``"stage2"``.
        metric: ``"acc"`` or ``"nll"``, or of a group's images ``"acc_tail"``.
        split: ``"test"`` or ``"val"``.
        against: The other's stage, where that is not the same.
    """
    theirs = {run["seed"]: run for run in other}
    differences = []
    for run in (run for run in one if run["seed"] in theirs):
        both = (_scores(*one, metric, split) for one in ((run, stage), (theirs[run["seed"]], against or stage)))
        scores = [found for found in both if found is not None]
        if len(scores) == 2 and len(scores[0]) == len(scores[1]):
            differences.append(scores[0] - scores[1])
    if len(differences) < 2 or len(set(map(len, differences))) > 1:
        return False
    each = torch.stack(differences)
    by_seed = each.mean(dim=1)
    if (float(by_seed.mean()) > 0) != TESTED[metric.partition("_")[0]] or not apart(by_seed.tolist()):
        return False
    means = resampled_means(each.mean(dim=0)[:, None])
    return float(2 * torch.minimum((means <= 0).double().mean(), (means >= 0).double().mean())) < LEVEL


def apart(differences: Sequence[float]) -> bool:
    """Say whether the mean of at least two differences is not zero, by the t test of p < 0.05."""
    n = len(differences)
    center, spread = statistics.mean(differences), statistics.stdev(differences)
    return abs(center) > float(t.ppf(1 - LEVEL / 2, n - 1)) * spread / math.sqrt(n)


def _scores(run: Run, stage: str, metric: str, split: str) -> torch.Tensor | None:
    kept = logits_of(run, stage, split)  # one run's after the other: each is large
    if kept is None:
        return None
    name, _, group = metric.partition("_")
    scores, classes = picture_scores(*kept)[name], run["dataset"].get("groups", {}).get(group, [])
    return scores[torch.isin(kept[1], torch.tensor(classes, dtype=kept[1].dtype))] if group else scores
