import pytest
import torch

from lt_calib.metric.ece import expected_calibration_error
from lt_calib.metric.ece_balanced import balanced_ece


def test_by_hand():
    # Two images of class 0 and one of class 1, in three bins: weights 1/4, 1/4, 1/2.
    probs = torch.tensor([[0.9, 0.1], [0.3, 0.7], [0.4, 0.6]])
    targets = torch.tensor([0, 0, 1])
    wanted = 0.25 * 0.1 + 0.25 * 0.7 + 0.5 * 0.4  # right at 0.9, wrong at 0.7, right at 0.6
    assert float(balanced_ece(probs, targets)) == pytest.approx(wanted, rel=1e-6)
    # In two bins, (0, 1/2] empty, the signed gaps meet: |0.025 - 0.175 + 0.2|.
    assert float(balanced_ece(probs, targets, n_bins=2)) == pytest.approx(0.05, rel=1e-5)


def test_on_a_balanced_set_it_is_the_ece():
    probs, targets = torch.softmax(torch.randn(600, 5) * 2, dim=1), torch.arange(600) % 5
    for n_bins in (1, 15, 40):
        torch.testing.assert_close(
            balanced_ece(probs, targets, n_bins), expected_calibration_error(probs, targets, n_bins)
        )


def test_it_is_the_ece_of_the_set_in_which_every_class_is_repeated_to_one_size():
    counts = torch.tensor([12, 6, 3, 1])
    targets = torch.repeat_interleave(torch.arange(4), counts)
    probs = torch.softmax(torch.randn(len(targets), 4), dim=1)
    times = 12 // counts[targets]
    repeated = probs.repeat_interleave(times, dim=0), targets.repeat_interleave(times)
    torch.testing.assert_close(balanced_ece(probs, targets), expected_calibration_error(*repeated))
