import pytest
import torch

from lt_calib.measure.check import check_probs
from lt_calib.metric.acc import accuracy
from lt_calib.metric.ece import expected_calibration_error
from tests.metric.conftest import labels, soft


def test_labels_in_a_column_are_no_broadcast():
    probs = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    targets = torch.tensor([0, 0, 1, 1])
    assert float(accuracy(probs, targets)) == 0.75
    with pytest.raises(ValueError, match=r"\(4, 2\) and targets \(4, 1\)"):
        accuracy(probs, targets[:, None])


def test_an_equal_weight_ensemble_whose_rows_sum_to_more_than_one():
    sure = torch.tensor([[1.0000001, 0.0], [0.50000006, 0.5]])
    assert bool((sure.double().sum(1) > 1).all())
    checked = check_probs(sure, torch.tensor([0, 1]))
    assert checked[0].tolist() == [1, 0]
    assert torch.equal(checked[1], sure[1])  # not scaled to sum to 1
    assert float(expected_calibration_error(sure[:1], torch.tensor([1]))) == 1  # a fraction


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("k", [2, 10, 1000, 20_000])
def test_probabilities_and_ensembles_of_every_type_pass(dtype, k):
    rows = 4 if k > 1000 else 50
    members = [soft(seed, rows, k, sharp).to(dtype) for seed in range(5) for sharp in (0.0, 1.0, 20.0)]
    ensemble = torch.zeros_like(members[0])
    for member in members:
        ensemble = ensemble + member / len(members)  # every step is rounded to the type
    for probs in (*members, ensemble):
        checked = check_probs(probs, labels(0, rows, k))
        assert checked.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert torch.equal(checked, probs.to(checked.dtype).clamp(max=1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("k", [2, 10, 1000])
def test_logits_and_rows_that_do_not_sum_to_one_are_refused_in_every_type(dtype, k):
    probs, targets = soft(0, 50, k), labels(0, 50, k)
    for bad in (probs.log(), torch.randn(50, k), probs * 1.05, probs * 0.95, probs + 0.1 / k, torch.sigmoid(probs)):
        with pytest.raises(ValueError, match=r"softmax\(logits"):
            check_probs(bad.to(dtype), targets)
