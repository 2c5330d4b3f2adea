import pytest
import torch

from lt_calib.metric.brier import brier_score
from lt_calib.metric.brier_split import brier_split


def test_by_hand():
    # Two pictures of each of two predictions; of the first, one is right.
    probs = torch.tensor([[0.8, 0.2], [0.8, 0.2], [0.1, 0.9], [0.1, 0.9]])
    split = brier_split(probs, torch.tensor([0, 1, 1, 1]))
    assert float(split.reliability) == pytest.approx(2 * (0.5 * 0.3**2 + 0.5 * 0.1**2))
    assert float(split.resolution) == pytest.approx(2 * (0.5 * 0.25**2 + 0.5 * 0.25**2))
    assert float(split.uncertainty) == pytest.approx(2 * 0.25 * 0.75)


def test_parts_are_the_brier_score_where_each_bin_holds_one_value():
    values = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.85, 0.05], [0.35, 0.25, 0.4]])
    probs = values[torch.arange(60) % 3]
    targets = torch.randint(3, (60,), generator=torch.Generator().manual_seed(0))
    split = brier_split(probs, targets)
    total = split.reliability - split.resolution + split.uncertainty
    assert float(total) == pytest.approx(float(brier_score(probs, targets)), abs=1e-6)


def test_ranges(case):
    split = brier_split(*case)
    assert all(-1e-7 <= float(part) <= 2 for part in split)
    assert float(split.resolution) <= float(split.uncertainty) + 1e-6
