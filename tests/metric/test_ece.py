import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassCalibrationError

from lt_calib.metric.ece import Bins, bin_index, bin_sums, expected_calibration_error


def slow(probs, targets, n_bins=15):
    """Bins (lo, hi] by comparison of float32 numbers, one picture at a time."""
    probs = np.asarray(probs, dtype=np.float32)
    edges = [np.float32(i) / np.float32(n_bins) for i in range(n_bins + 1)]
    total = 0.0
    for b in range(n_bins):
        low = -1 if b == 0 else edges[b]
        high = 2 if b == n_bins - 1 else edges[b + 1]
        rows = [i for i, p in enumerate(probs) if low < p.max() <= high]
        if rows:
            accuracy = np.mean([probs[i].argmax() == targets[i] for i in rows])
            confidence = np.mean([float(probs[i].max()) for i in rows])
            total += len(rows) / len(probs) * abs(accuracy - confidence)
    return total


def check(probs, targets, n_bins=15):
    got = expected_calibration_error(torch.as_tensor(probs), torch.as_tensor(targets), n_bins)
    assert float(got) == pytest.approx(slow(probs, targets, n_bins), abs=1e-6)


def two_class(confidences):
    c = torch.tensor(confidences, dtype=torch.float32)
    return torch.stack([c, 1 - c], dim=1)


@pytest.mark.parametrize("n_bins", [1, 2, 10, 15, 20])
def test_slow_twin_on_random_predictions(n_bins):
    rng = np.random.default_rng(0)
    check(rng.dirichlet(np.full(5, 0.4), 300).astype(np.float32), rng.integers(5, size=300), n_bins)


def test_by_hand():
    # Confidences 0.9, 0.9, 0.6: accuracies 1/2 in one bin, 1 in another.
    probs = two_class([0.9, 0.9, 0.6])
    assert float(expected_calibration_error(probs, torch.tensor([0, 1, 0]))) == pytest.approx(
        2 / 3 * abs(0.5 - 0.9) + 1 / 3 * abs(1 - 0.6), abs=1e-6
    )


def test_every_bin_edge_belongs_to_the_bin_below():
    for n_bins in (10, 15):
        edges = torch.arange(1, n_bins, dtype=torch.float32) / n_bins
        for b, edge in enumerate(edges):
            rest = torch.full((1, 40), float((1 - edge) / 40))  # many classes, so that any confidence is the largest
            probs = torch.cat([edge.reshape(1, 1), rest], dim=1)
            counts = bin_sums(probs, torch.tensor([0]), n_bins).count
            assert int(counts.argmax()) == b
            above = torch.nextafter(edge, torch.tensor(2.0))
            counts = bin_sums(torch.cat([above.reshape(1, 1), rest], dim=1), torch.tensor([0]), n_bins).count
            assert int(counts.argmax()) == b + 1


def test_confidence_of_exactly_one_and_of_one_class():
    probs = two_class([1.0, 1.0, 0.5])
    check(probs, [0, 1, 0])
    assert bin_sums(probs, torch.tensor([0, 1, 0])).count[-1] == 2
    check(torch.ones(3, 1), [0, 0, 0])


def test_confidences_of_exactly_zero_and_one_fall_into_the_first_and_last_bin():
    # No distribution has a largest probability of 0, so the binning itself is asked.
    assert bin_index(torch.tensor([0.0, 1.0]), 15).tolist() == [0, 14]


def test_fewer_pictures_than_bins_and_empty_bins():
    check(two_class([0.7]), [1])
    check(two_class([0.55, 0.95]), [0, 0])


def test_torchmetrics_differs_where_a_confidence_is_one():
    probs, targets = two_class([1.0, 1.0, 0.99, 0.99]), torch.tensor([0, 0, 1, 1])
    theirs = MulticlassCalibrationError(2, n_bins=15)(probs, targets)
    ours = expected_calibration_error(probs, targets)
    assert float(ours) == pytest.approx(abs(0.5 - 0.995), abs=1e-6)  # one bin (14/15, 1]
    assert float(theirs) == pytest.approx(0.5 * 0 + 0.5 * 0.99, abs=1e-6)  # 1 has a bin of its own
    no_ones = two_class([0.81, 0.72, 0.99, 0.63])
    torch.testing.assert_close(
        MulticlassCalibrationError(2, n_bins=15)(no_ones, targets), expected_calibration_error(no_ones, targets)
    )


def test_sums_of_batches_add_up_to_those_of_all():
    probs = torch.softmax(torch.randn(100, 7) * 3, dim=1)
    targets = torch.randint(7, (100,))
    batches = [bin_sums(probs[rows], targets[rows]) for rows in torch.arange(100).split(9)]
    together = Bins(*(torch.stack(sums).sum(0) for sums in zip(*batches, strict=True)))
    whole = expected_calibration_error(probs, targets)
    torch.testing.assert_close(together.error.float(), whole, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "bad",
    [torch.tensor([[2.0, -1.0]]), torch.tensor([[0.3, 0.4]]), torch.tensor([[5.0, 7.0]])],
)
def test_logits_are_refused(bad):
    with pytest.raises(ValueError, match=r"softmax\(logits"):
        expected_calibration_error(bad, torch.tensor([0]))


def test_other_nonsense_is_refused():
    good = two_class([0.7])
    with pytest.raises(ValueError, match="NaN"):
        expected_calibration_error(torch.tensor([[float("nan"), 0.5]]), torch.tensor([0]))
    with pytest.raises(ValueError, match="n_bins 0"):
        expected_calibration_error(good, torch.tensor([0]), 0)
    with pytest.raises(ValueError, match=r"labels 0 .. 1; got 2"):
        expected_calibration_error(good, torch.tensor([2]))
    with pytest.raises(ValueError, match="N >= 1"):
        expected_calibration_error(torch.empty(0, 2), torch.empty(0, dtype=torch.int64))
