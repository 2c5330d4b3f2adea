from typing import Any

import numpy as np
import pytest
import torch

from lt_calib.figure.reliability import reliability


def test_bars_are_the_bins_accuracies_and_counts():
    probs = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.62, 0.38], [0.62, 0.38], [0.62, 0.38]])
    targets = torch.tensor([0, 1, 0, 0, 0])
    figure: Any = reliability(probs, targets, "title")
    above, below = figure.axes
    heights = [bar.get_height() for bar in above.patches[:15]]
    wanted = np.zeros(15)
    wanted[9], wanted[13] = 1.0, 0.5
    np.testing.assert_allclose(heights, wanted)
    gaps = {round(bar.get_y() + bar.get_height(), 3) for bar in above.patches[15:]}
    assert gaps == {0.62, 0.9}  # each gap ends at the bin's confidence
    assert [bar.get_height() for bar in below.patches][9] == 3
    assert above.patches[9].get_alpha() == 1  # of the most images
    assert above.patches[13].get_alpha() == pytest.approx((2 / 3) ** 0.5)
    ends = [tuple(segment[:, 1]) for segment in above.collections[0].get_segments()]
    assert ends == [pytest.approx((0.292, 1.0), abs=1e-3), pytest.approx((0.013, 0.987), abs=1e-3)]  # 3 of 3, 1 of 2
    assert above.texts[0].get_text().splitlines()[0] == "ECE 38.80 %"
    assert above.get_title() == "title"
