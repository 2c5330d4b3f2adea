import torch

from lt_calib.measure.predictions import Predictions


def test_batches_in_order_and_in_float32():
    predictions = Predictions()
    logits, targets = torch.randn(10, 3).bfloat16(), torch.arange(10)
    for rows in torch.arange(10).split(4):
        predictions.update(logits[rows], targets[rows])
    got, labels = predictions.compute()
    assert got.dtype == torch.float32
    assert torch.equal(got, logits.float())
    assert torch.equal(labels, targets)
