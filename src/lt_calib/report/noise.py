"""Whether two methods differ beyond noise: that of the seeds they were trained with, and that of the test pictures."""

import math
from collections.abc import Sequence

import torch
from scipy.stats import t

from lt_calib.job.results import read_predictions
from lt_calib.measure.bootstrap import picture_scores, resampled_means
from lt_calib.report.read import Run, predictions_file

LEVEL = 0.05
TESTED = {"acc": True, "nll": False}  # whether higher is better; the ECE has no paired test: it is never in bold


def beyond_noise(one: Sequence[Run], other: Sequence[Run], stage: str, metric: str, split: str = "test") -> bool:
    """Say whether one method's runs are better than another's of the same seeds beyond noise, each of p < 0.05.

    Two tests must agree: the t test of the differences of the common seeds, since the same method trained twice differs
    by more than its pictures explain, and the bootstrap over the pictures of their mean. Where there are not two common
    seeds with their logits, nothing is known, and the answer is no.

    Args:
        one: Runs of a method.
        other: Runs of another one.
        stage: ``"stage1"`` or ``"stage2"``.
        metric: ``"acc"`` or ``"nll"``.
        split: ``"test"`` or ``"val"``.
    """
    first, second = ({run["seed"]: path for run in runs if (path := predictions_file(run))} for runs in (one, other))
    differences = []
    for seed in sorted(first.keys() & second.keys()):
        one_split, other_split = (read_predictions(found[seed])[stage] for found in (first, second))
        if split not in one_split or split not in other_split:
            return False
        (a, targets), (b, _) = one_split[split], other_split[split]
        scores = [picture_scores(logits, targets)[metric] for logits in (a, b)]
        if len(scores[0]) != len(scores[1]):
            return False
        differences.append(scores[0] - scores[1])
    if len(differences) < 2:
        return False
    each = torch.stack(differences)
    if (float(each.mean()) > 0) != TESTED[metric]:
        return False
    by_seed = each.mean(dim=1)
    n = len(by_seed)
    if not float(by_seed.mean().abs()) > float(t.ppf(1 - LEVEL / 2, n - 1)) * float(by_seed.std()) / math.sqrt(n):
        return False
    means = resampled_means(each.mean(dim=0)[:, None])
    return float(2 * torch.minimum((means <= 0).double().mean(), (means >= 0).double().mean())) < LEVEL
