import functools
import math

import pytest
import torch
import torch.nn.functional as F

from lt_calib.loss.class_balanced import ClassBalanced
from lt_calib.loss.cross_entropy import CrossEntropy
from lt_calib.loss.focal import Focal
from lt_calib.loss.weights import class_balanced_weights


def test_weights_by_hand():
    # beta = 1/2: 1 / E = (1/2) / (1 - (1/2)^n) = 1, 2/3 and 4/7 for n = 1, 2, 3.
    raw = [4 / 7, 2 / 3, 1.0]
    assert class_balanced_weights([3, 2, 1], 0.5).tolist() == pytest.approx([3 * x / sum(raw) for x in raw])


def test_limits_of_beta():
    assert class_balanced_weights([9, 3, 1], 0.0).tolist() == [1, 1, 1]
    near_one = class_balanced_weights([9, 3, 1], 1 - 1e-9)
    assert (near_one / near_one[0]).tolist() == pytest.approx([1, 3, 9], rel=1e-5)
    with pytest.raises(ValueError, match="beta 1"):
        class_balanced_weights([2, 1], 1.0)


@pytest.mark.parametrize("inner", [CrossEntropy, functools.partial(Focal, gamma=2.0)])
def test_it_is_the_weighted_mean_of_the_inner_loss(inner):
    counts = [50, 5, 1]
    logits, targets = torch.randn(12, 3), torch.arange(12) % 3
    each = torch.stack([inner(counts)(logits[i : i + 1], targets[i : i + 1]) for i in range(12)])
    w = class_balanced_weights(counts, 0.99).float()[targets]
    got = ClassBalanced(counts, loss=inner, beta=0.99)(logits, targets)
    torch.testing.assert_close(got, (w * each).sum() / w.sum())


# Three images, logits 0, softmax (1/2, 1/2): every l is log 2, so that only the weights count.
# n = (2, 1), beta = 1/2: raw weights 2/3 and 1, rescaled to sum to 2: w = (0.8, 1.2).
@pytest.mark.parametrize(("normalizer", "wanted"), [("weights", 1.0), ("batch", (0.8 + 0.8 + 1.2) / 3)])
def test_what_the_sum_is_divided_by(normalizer, wanted):
    loss = ClassBalanced([2, 1], loss=CrossEntropy, beta=0.5, normalizer=normalizer)
    for targets in (torch.tensor([0, 0, 1]), torch.eye(2)[[0, 0, 1]]):
        assert float(loss(torch.zeros(3, 2), targets)) == pytest.approx(wanted * math.log(2))


def test_divided_by_the_batch_it_is_the_authors_sum():
    """What imbalanced-DL computes for mixed labels: the mean of lam w_a l_a + (1 - lam) w_b l_b."""
    counts, lam = [50, 5, 1], torch.rand(12)
    logits, a, b = torch.randn(12, 3), torch.arange(12) % 3, torch.arange(12) // 4
    weight = class_balanced_weights(counts, 0.9999).float()
    own, other = (F.cross_entropy(logits, y, weight=weight, reduction="none") for y in (a, b))
    targets = lam[:, None] * torch.eye(3)[a] + (1 - lam)[:, None] * torch.eye(3)[b]
    got = ClassBalanced(counts, loss=CrossEntropy, normalizer="batch")(logits, targets)
    torch.testing.assert_close(got, (lam * own + (1 - lam) * other).mean())
    with pytest.raises(ValueError, match="normalizer 'mean'"):
        ClassBalanced(counts, loss=CrossEntropy, normalizer="mean")


def test_labels_in_parts_have_a_mean_each():
    """By hand, at lam = 3/4: backgrounds of classes 0, 0 with losses 1 and 2, patches of 0, 1 with losses 1 and 4."""
    loss = ClassBalanced([2, 1], loss=CrossEntropy, beta=0.5)  # w = (0.8, 1.2)
    each = torch.tensor([[1.0, 3.0], [2.0, 4.0]])
    loss.loss.losses = lambda logits: each  # type: ignore[method-assign]
    parts = torch.tensor([[[0.75, 0.0], [0.25, 0.0]], [[0.75, 0.0], [0.0, 0.25]]])
    logits = torch.zeros(2, 2)
    two_means = 0.75 * (1 + 2) / 2 + 0.25 * (0.8 * 1 + 1.2 * 4) / 2
    assert float(loss(logits, parts)) == pytest.approx(two_means)
    one_mean = (0.75 * 0.8 * (1 + 2) + 0.25 * (0.8 * 1 + 1.2 * 4)) / (0.75 * 1.6 + 0.25 * 2)
    assert float(loss(logits, parts.sum(1))) == pytest.approx(one_mean)
    only_own = torch.stack([parts[:, 0] / 0.75, torch.zeros(2, 2)], dim=1)  # nothing was pasted
    assert float(loss(logits, only_own)) == pytest.approx(1.5)
    loss.loss.weigh(loss.loss.weights.clone(), "batch")
    assert float(loss(logits, parts)) == pytest.approx(float(loss(logits, parts.sum(1))))


def test_a_grid_may_have_both_normalizers():
    logits, targets = torch.randn(6, 3), torch.arange(6) % 3
    losses = [ClassBalanced([50, 5, 1], loss=CrossEntropy, normalizer=n) for n in ("weights", "batch")]
    _, buffers = torch.func.stack_module_state(losses)  # type: ignore[arg-type]
    one = torch.vmap(lambda state: torch.func.functional_call(losses[0], state, (logits, targets)))
    torch.testing.assert_close(one(buffers), torch.stack([loss(logits, targets) for loss in losses]))


def test_beta_zero_is_the_inner_loss():
    logits, targets = torch.randn(12, 3), torch.arange(12) % 3
    got = ClassBalanced([50, 5, 1], loss=CrossEntropy, beta=0.0)(logits, targets)
    torch.testing.assert_close(got, F.cross_entropy(logits, targets))
