import math

import pytest
import torch

from lt_calib.loss.awabs import AWABS
from lt_calib.loss.label_aware_smoothing import LabelAwareSmoothing

COUNTS = [100, 40, 10, 5]


def slow(z, y, eps, spread):
    k = len(z)
    share = eps / (k - 1) if spread == "others" else eps / k
    t = [share] * k
    t[y] = 1 - eps + (share if spread == "all" else 0.0)
    assert sum(t) == pytest.approx(1)
    log_sum = math.log(sum(math.exp(x) for x in z))
    return -sum(t[i] * (z[i] - log_sum) for i in range(k))


@pytest.mark.parametrize("spread", ["others", "all"])
def test_slow_twin(spread):
    loss = LabelAwareSmoothing(COUNTS, eps_head=0.4, eps_tail=0.1, form="linear", spread=spread)
    logits = torch.randn(12, 4)
    targets = torch.arange(12) % 4
    wanted = [slow(z, y, float(loss.eps[y]), spread) for z, y in zip(logits.tolist(), targets.tolist(), strict=True)]
    assert float(loss(logits, targets)) == pytest.approx(sum(wanted) / 12, rel=1e-5)


def test_equal_counts_and_spread_all_are_torchs_label_smoothing():
    logits, targets = torch.randn(12, 4), torch.arange(12) % 4
    loss = LabelAwareSmoothing([7] * 4, eps_head=0.2, eps_tail=0.0, spread="all")
    wanted = torch.nn.functional.cross_entropy(logits, targets, label_smoothing=0.2)
    torch.testing.assert_close(loss(logits, targets), wanted)


def test_bad_settings():
    with pytest.raises(ValueError, match="spread 'some'"):
        LabelAwareSmoothing(COUNTS, eps_head=0.3, eps_tail=0.0, spread="some")
    with pytest.raises(ValueError, match="2 classes"):
        LabelAwareSmoothing([4], eps_head=0.3, eps_tail=0.0)


@pytest.mark.parametrize(
    ("form", "f"),
    [
        ("linear", lambda r: r),
        ("concave", lambda r: math.sin(math.pi * r / 2)),
        ("convex", lambda r: 1 - math.cos(math.pi * r / 2)),
    ],
)
@pytest.mark.parametrize("loss", [LabelAwareSmoothing, AWABS])
def test_eps_by_hand(loss, form, f):
    wanted = [0.1 + 0.3 * f((n - 5) / 95) for n in COUNTS]
    assert loss(COUNTS, eps_head=0.4, eps_tail=0.1, form=form).eps.tolist() == pytest.approx(wanted)
