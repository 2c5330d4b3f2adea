import pytest
import torch
import torch.nn.functional as F

from lt_calib.errors import InputError
from lt_calib.measure.weighted import effective_size
from lt_calib.prior.reweigh import image_weights, reweighed, shifted


def test_by_hand():
    """(0.6, 0.4) for equal classes, re-weighed to 1 : 4: (0.6 * 0.2, 0.4 * 0.8) = (0.12, 0.32) / 0.44."""
    probs, half = torch.tensor([[0.6, 0.4]]), torch.tensor([0.5, 0.5])
    torch.testing.assert_close(reweighed(probs, torch.tensor([0.2, 0.8]), half)[0], torch.tensor([3 / 11, 8 / 11]))
    back = reweighed(reweighed(probs, torch.tensor([0.2, 0.8]), half), half, torch.tensor([0.2, 0.8]))
    torch.testing.assert_close(back, probs)


def test_the_logits_way_is_the_same():
    logits = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    q, r = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.1, 0.3, 0.6])
    torch.testing.assert_close(shifted(logits, q, r).softmax(1), reweighed(logits.softmax(1), q, r))


def test_a_known_mixture_gets_its_own_posterior():
    """Three Gaussians, whose posterior under any prior is known: from one prior's to another's."""
    draws = torch.Generator().manual_seed(0)
    x, means = 4 * torch.randn(500, generator=draws), torch.tensor([-1.0, 0.0, 2.0])
    likelihood = torch.exp(-(x[:, None] - means).square() / 2).double()

    def posterior(prior):
        joint = likelihood * prior
        return joint / joint.sum(1, keepdim=True)

    q, r = torch.tensor([0.9, 0.09, 0.01]), torch.tensor([0.2, 0.3, 0.5])
    torch.testing.assert_close(reweighed(posterior(r), q, r), posterior(q))
    assert float(F.l1_loss(posterior(r), posterior(q))) > 0.1


def test_weights_by_hand():
    """Three images of class 0 and one of 1, to be 1 : 1: ratios 2/3 and 2, effective size 4^2 / (3 * 4/9 + 4) = 3."""
    weights = image_weights(torch.tensor([0, 0, 1, 0]), torch.tensor([0.5, 0.5]))
    assert weights.tolist() == pytest.approx([0.5, 0.5, 1.5, 0.5])
    assert float(weights.sum()) == pytest.approx(3) == pytest.approx(effective_size(weights))


def test_a_class_without_an_image_has_no_weight():
    with pytest.raises(InputError, match=r"1 of the 3 classes have no image to weigh, class 1"):
        image_weights(torch.tensor([0, 2]), torch.ones(3) / 3)
