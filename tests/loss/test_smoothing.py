import math

import pytest
import torch

from lt_calib.loss.base import frequencies
from lt_calib.loss.smoothing import SmoothedCrossEntropy, smoothing_factor

COUNTS = [100, 55, 10]  # r = 1, 1/2, 0


@pytest.mark.parametrize(
    ("form", "middle"),
    [("concave", 0.1 + 0.3 * math.sin(math.pi / 4)), ("linear", 0.25), ("convex", 0.4 - 0.3 * math.cos(math.pi / 4))],
)
def test_forms_by_hand(form, middle):
    eps = smoothing_factor(COUNTS, 0.4, 0.1, form)
    assert eps.tolist() == pytest.approx([0.4, middle, 0.1])


def test_forms_lie_in_order_between_the_ends():
    counts = list(range(100, 0, -1))
    convex, linear, concave = (smoothing_factor(counts, 0.4, 0.1, f) for f in ("convex", "linear", "concave"))
    assert bool((convex[1:-1] < linear[1:-1]).all())
    assert bool((linear[1:-1] < concave[1:-1]).all())
    for eps in (convex, linear, concave):
        assert bool((eps.diff() < 0).all())  # strictly from head to tail


def test_equal_counts_get_eps_head():
    assert smoothing_factor([7, 7, 7], 0.3, 0.0, "concave").tolist() == pytest.approx([0.3] * 3)


@pytest.mark.parametrize(("head", "tail"), [(0.1, 0.2), (0.6, 0.0), (0.3, -0.1), (float("nan"), 0.0)])
def test_eps_out_of_order_or_range(head, tail):
    with pytest.raises(ValueError, match=r"eps_head .* eps_tail .* 0 <= eps_tail <= eps_head <= 0.5"):
        smoothing_factor(COUNTS, head, tail, "linear")


def test_unknown_form_and_empty_class():
    with pytest.raises(ValueError, match="form 'cubic'"):
        smoothing_factor(COUNTS, 0.3, 0.1, "cubic")
    with pytest.raises(ValueError, match=r"class_counts \[5.0, 0.0\] .*> 0"):
        smoothing_factor([5, 0], 0.3, 0.1, "linear")
    with pytest.raises(ValueError, match="prior"):
        frequencies([5, 5], [1.0, 0.0])


def test_linear_form_by_hand():
    # p = softmax(log 2, 0) = (2/3, 1/3); l(z, 0) = -(0.5 log p_0 + 0.25 (log p_0 + 2 log p_1))
    loss = SmoothedCrossEntropy(
        torch.tensor([0.5, 1.0]), torch.tensor([0.25, 0.0]), torch.tensor([1.0, 2.0]), torch.zeros(2)
    )
    logits = torch.tensor([[math.log(2), 0.0]])
    first = -(0.75 * math.log(2 / 3) + 0.5 * math.log(1 / 3))
    second = -math.log(1 / 3)
    assert float(loss(logits, torch.tensor([0]))) == pytest.approx(first)
    assert float(loss(logits, torch.tensor([1]))) == pytest.approx(second)
    assert float(loss(logits, torch.tensor([[0.3, 0.7]]))) == pytest.approx(0.3 * first + 0.7 * second)
