import math

import pytest
import torch

from lt_calib.metric.auroc_macro import macro_auroc


def test_by_hand():
    first = torch.tensor([0.9, 0.5, 0.5, 0.4])
    targets = torch.tensor([0, 0, 1, 1])
    # of the four pairs of class 0 three are in order and one is tied; class 1 is the same seen from the other side
    assert float(macro_auroc(torch.stack([first, 1 - first], 1), targets)) == pytest.approx(3.5 / 4)


def test_pairs_are_counted(rows):
    """The slow twin compares each image of a class with each of the others."""
    probs, targets = (torch.from_numpy(x) for x in rows)
    each = []
    for c in targets.unique():
        own, others = probs[targets == c, c], probs[targets != c, c]
        if len(others):
            above = (own[:, None] > others).double() + (own[:, None] == others).double() / 2
            each.append(float(above.mean()))
    found = float(macro_auroc(probs, targets))
    assert found == pytest.approx(sum(each) / len(each)) if each else math.isnan(found)
