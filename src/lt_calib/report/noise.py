"""Whether two methods differ beyond noise, on the test pictures that both were run on."""

from collections.abc import Sequence

import torch

from lt_calib.metric.bootstrap import picture_scores, resampled_means
from lt_calib.metric.compare import LEVEL, mcnemar
from lt_calib.report.read import Run, predictions_file
from lt_calib.results import read_predictions

TESTED = {"acc": True, "nll": False}  # whether higher is better; the ECE has no paired test: it is never in bold


def beyond_noise(one: Sequence[Run], other: Sequence[Run], stage: str, metric: str, split: str = "test") -> bool:
    """Say whether one method's runs are better than another's of the same seeds beyond noise (p < 0.05), by picture.

    Accuracy of one seed by McNemar's test; otherwise the bootstrap over the pictures of the mean difference of the
    common seeds. Where no logits of a common seed are there, nothing is known, and the answer is no.

    Args:
        one: Runs of a method.
        other: Runs of another one.
        stage: ``"stage1"`` or ``"stage2"``.
        metric: ``"acc"`` or ``"nll"``.
        split: ``"test"`` or ``"val"``.
    """
    first, second = ({run["seed"]: path for run in runs if (path := predictions_file(run))} for runs in (one, other))
    differences, correct = [], None
    for seed in sorted(first.keys() & second.keys()):
        one_split, other_split = (read_predictions(found[seed])[stage] for found in (first, second))
        if split not in one_split or split not in other_split:
            return False
        (a, targets), (b, _) = one_split[split], other_split[split]
        scores = [picture_scores(logits, targets)[metric] for logits in (a, b)]
        if len(scores[0]) != len(scores[1]):
            return False
        differences.append(scores[0] - scores[1])
        correct = [score > 0 for score in scores]
    if not differences or correct is None:
        return False
    together = torch.stack(differences).mean(0)
    if (float(together.mean()) > 0) != TESTED[metric]:
        return False
    if metric == "acc" and len(differences) == 1:
        return mcnemar(*correct) < LEVEL
    means = resampled_means(together[:, None])
    return float(2 * torch.minimum((means <= 0).double().mean(), (means >= 0).double().mean())) < LEVEL
