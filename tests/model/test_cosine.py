import pytest
import torch

from lt_calib.model.cosine import Cosine

FEATURES, TARGETS = torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 5.0], [-1.0, 0.0]]), torch.tensor([0, 0, 1, 2])


def test_logits_by_hand():
    cosine = Cosine(2, 3, scale=10.0, init="class_means")
    cosine.prepare(None, lambda split: (FEATURES, TARGETS) if split == "train" else None)
    half = 0.5**0.5
    torch.testing.assert_close(cosine.weight.detach(), torch.tensor([[half, half], [0.0, 1.0], [-1.0, 0.0]]))
    torch.testing.assert_close(cosine(torch.tensor([[0.0, 7.0]])), torch.tensor([[10 * half, 10.0, 0.0]]))


def test_drawn_weights_stay_where_no_means_are_asked_for():
    cosine = Cosine(2, 3)
    before = cosine.weight.detach().clone()
    cosine.prepare(None, lambda split: (FEATURES, TARGETS))
    assert torch.equal(cosine.weight, before)


def test_what_it_cannot_be_is_refused():
    with pytest.raises(ValueError, match="scale 0"):
        Cosine(2, 3, scale=0.0)
    with pytest.raises(ValueError, match=r"init 'zeros' must be 'kaiming' or 'class_means'"):
        Cosine(2, 3, init="zeros")
