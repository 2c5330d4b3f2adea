import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy

from lt_calib.metric.acc_top5 import top5_accuracy


def test_slow_twin(rows):
    probs, targets = rows
    hits = [t in sorted(range(len(p)), key=lambda c: (-p[c], c))[:5] for p, t in zip(probs, targets, strict=True)]
    got = top5_accuracy(torch.from_numpy(probs), torch.from_numpy(targets))
    assert float(got) == pytest.approx(sum(hits) / len(hits))


def test_torchmetrics_where_no_two_are_equal():
    probs, targets = torch.softmax(torch.randn(200, 20), dim=1), torch.arange(200) % 20
    wanted = multiclass_accuracy(probs, targets, num_classes=20, average="micro", top_k=5)
    assert float(top5_accuracy(probs, targets)) == pytest.approx(float(wanted))
