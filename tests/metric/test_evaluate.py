from functools import partial

import pytest
import torch

from lt_calib.measure.evaluate import evaluate, ways
from lt_calib.metric.acc import accuracy
from lt_calib.metric.brier_split import brier_split
from lt_calib.metric.ece import expected_calibration_error
from lt_calib.metric.nll import negative_log_likelihood
from lt_calib.metric.overconf import over_confidence

METRICS = {"acc": accuracy, "ece": expected_calibration_error, "nll": negative_log_likelihood}


def test_groups_are_by_true_class(groups):
    logits = torch.eye(5)[torch.tensor([0, 0, 2, 4, 4])] * 50
    targets = torch.tensor([0, 1, 2, 3, 4])
    results = evaluate(logits, targets, groups, METRICS)
    assert results["acc"] == pytest.approx(0.6)
    assert results["acc_head"] == 0.5
    assert results["acc_medium"] == 1.0
    assert results["acc_tail"] == 0.5
    assert results["ece_tail"] == pytest.approx(0.5)
    assert results["nll"] == pytest.approx(20)  # two of five are wrong by 50
    assert set(results) == {*METRICS, *(f"{m}_{g}" for m in ("acc", "ece") for g in groups)}


def test_a_group_without_class_or_picture_is_none():
    logits, targets = torch.randn(4, 3), torch.tensor([0, 0, 1, 1])
    results = evaluate(logits, targets, {"head": [0, 1], "medium": [], "tail": [2]}, METRICS)
    assert results["acc_medium"] is None
    assert results["ece_tail"] is None
    assert results["acc_head"] is not None


def test_which_way_is_better_is_said_by_each_metric_and_holds_in_its_groups():
    split, signed = {"brier_split": brier_split}, {"overconf": over_confidence}
    wanted = dict.fromkeys(("acc", "acc_head", "acc_medium", "acc_tail"), "higher")
    wanted |= dict.fromkeys(("ece", "ece_head", "ece_medium", "ece_tail", "nll"), "lower")
    wanted |= {"brier_split_reliability": "lower", "brier_split_resolution": "higher"}
    assert ways({**METRICS, **split, **signed}) == wanted
    assert ways({name: partial(metric) for name, metric in METRICS.items()}) == ways(METRICS)
