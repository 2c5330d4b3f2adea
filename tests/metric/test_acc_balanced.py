import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from lt_calib.metric.acc_balanced import balanced_accuracy


def test_by_hand():
    probs = torch.eye(3)[torch.tensor([0, 0, 0, 1])]
    assert float(balanced_accuracy(probs, torch.tensor([0, 0, 0, 1]))) == 1
    assert float(balanced_accuracy(probs, torch.tensor([0, 0, 1, 1]))) == pytest.approx((1 + 0.5) / 2)  # class 2 absent


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_scikit_learns(rows):
    probs, targets = rows
    got = balanced_accuracy(torch.from_numpy(probs), torch.from_numpy(targets))
    assert float(got) == pytest.approx(balanced_accuracy_score(targets, np.argmax(probs, axis=1)))
